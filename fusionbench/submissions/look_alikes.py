"""Titles and submitters that could be taken for others: what is refused, and what is marked.

Two texts look alike when their :func:`skeleton` is the same: letters of other scripts are read as the Latin letters
that Unicode calls confusable with them, and case, accents, blanks and most punctuation do not count.

Refused: a claim to be official, letters of another script inside a Latin word, and the name of something that the
submission is known not to be. Marked: a name that it may rightly carry, which is then read beside the submitter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from fusionbench.core.errors import Problem
from fusionbench.results.published import shipped
from fusionbench.results.schema import Result
from fusionbench.submissions.archive import META

CLAIMS = ("verified", "official", "officially", "maintainer", "maintainers")
_SAME = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l"})
_REMEDY = "choose another"


@lru_cache(maxsize=32_768)
def skeleton(text: str) -> str:
    """What a reader takes a text for, to be compared with that of another text; not for display.

    Example:
        >>> from fusionbench.submissions.look_alikes import skeleton
        >>> skeleton("Fus\u0456\u043en VAE") == skeleton("FusionVAE")  # two Cyrillic letters, and a blank
        True
        >>> skeleton("FusionVAE+") == skeleton("FusionVAE")
        False
    """
    letters = "".join(_latin(letter) for letter in _plain(text))
    kept = re.sub(r"[^\w+]|_", "", _plain(letters.casefold()).translate(_SAME))
    return kept.replace("rn", "m").replace("vv", "w")


def _plain(text: str) -> str:
    """Compatibility forms as their letters, without accents and what is not seen."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Mn", "Me", "Cf"))


@lru_cache(maxsize=4096)
def _latin(letter: str) -> str:
    """The ASCII letter or digit that a letter is confusable with; itself where there is none."""
    from confusable_homoglyphs import confusables

    if letter.isascii():
        return letter
    found = confusables.is_confusable(letter) or []
    same = [glyph["c"] for one in found for glyph in one["homoglyphs"] if glyph["c"].isascii() and glyph["c"].isalnum()]
    return min(same, key=lambda text: (len(text), text.isdigit(), text)) if same else letter


def mixed_words(text: str) -> list[str]:
    """Words of Latin letters that have a letter of another script which looks like a Latin one.

    Example:
        >>> from fusionbench.submissions.look_alikes import mixed_words
        >>> mixed_words("C\u0410NET by \u0410\u043d\u043d\u0430"), mixed_words("\u03b2-VAE")
        (['CАNET'], [])
    """
    from confusable_homoglyphs import categories

    def foreign(letter: str) -> bool:
        return categories.alias(letter) not in ("LATIN", "COMMON") and _latin(letter).isascii()

    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text))
    return [word for word in words if re.search("[A-Za-z]", word) and any(map(foreign, word))]


def claims_of(text: str) -> list[str]:
    """Words of :data:`CLAIMS` that a text has, also when they are spelled with blanks or look-alike letters.

    Example:
        >>> from fusionbench.submissions.look_alikes import claims_of
        >>> claims_of("Net (V e r i f i e d)"), claims_of("an unofficial net")
        (['verified'], [])
    """
    words = re.findall(r"[^\W_]+", text)
    spelled = re.findall(r"(?:(?<![^\W_])[^\W_](?:[\W_]+|$)){3,}", text)
    found = {skeleton(word) for word in [*words, *spelled]}
    return [claim for claim in CLAIMS if skeleton(claim) in found]


@lru_cache
def _registered() -> dict[str, str]:
    """Skeleton of name or title -> name of a registered model."""
    from fusionbench.models import MODELS

    names = MODELS.names()
    return {skeleton(text): name for name in names for text in (name, MODELS.said(name, "title") or name)}


@lru_cache
def _published() -> dict[str, str]:
    """Skeleton of a method's title on a published row -> what folders of results call it."""
    return {skeleton(result.title): result.identity.model.name for result in shipped()}


def name_problems(title: str, submitter: str, model: str | None) -> list[Problem]:
    """Why title and submitter are refused, wherever the submission goes.

    Args:
        model: the registered model whose weights are submitted; None for predictions, which may be of anything.
    """
    found = text_problems(META, {"title": title, "submitter": submitter})
    theirs = _registered().get(skeleton(title))
    if theirs is not None and theirs != model:
        what = "predictions" if model is None else f"weights of {model}"
        remedy = f"say whose it is, as in {title + ', ours'!r}" + (", or submit the weights" if model is None else "")
        found.append(Problem(META, f"{title!r} is the title of a registered model, these are {what}", remedy))
    elif theirs is None and model is not None and _published().get(skeleton(title), model) != model:
        rule = f"{title!r} is a method with published numbers, these are weights of {model}"
        found.append(Problem(META, rule, _REMEDY))
    return found


def text_problems(file: str, texts: Mapping[str, str]) -> list[Problem]:
    """Why names are refused whatever they are names of.

    Args:
        file: where they stand.
        texts: what each is called in messages -> the name.

    Example:
        >>> from fusionbench.submissions.look_alikes import text_problems
        >>> [problem.rule for problem in text_problems("a.json", {"title": "Net (verified)", "entered_by": "Ada"})]
        ["the title claims to be 'verified', which is not the author's to say"]
    """
    found = []
    for what, text in texts.items():
        if words := mixed_words(text):
            rule = f"the {what} mixes letters of two scripts that look alike in {words[0]!a}"
            found.append(Problem(file, rule, "write each word in one script"))
        if claims := claims_of(text):
            rule = f"the {what} claims to be {claims[0]!r}, which is not the author's to say"
            found.append(Problem(file, rule, "leave it out"))
        if not skeleton(text):
            found.append(Problem(file, f"the {what} has no letter", _REMEDY))
    return found


def name_remarks(title: str, model: str | None) -> list[str]:
    """What is marked about a title: a known name that the submission may rightly carry, or that stands inside it."""
    if (theirs := _published().get(skeleton(title))) is not None and theirs != model:
        return [f"the title is that of a method with published numbers; that these are of {theirs} is declared"]
    words = re.findall(r"[\w+-]+", title)
    inside = [name for word in words if (name := _registered().get(skeleton(word))) is not None and name != model]
    if inside and _registered().get(skeleton(title)) is None:
        return [f"the title names the registered model {inside[0]}, which this is not known to be"]
    return []


def board_problems(title: str, submitter: str, model: str | None, others: Iterable[Result]) -> list[str]:
    """Why title and submitter are refused on a board: they look like another row's or another submitter's.

    Args:
        others: the results that are there.
    """
    own_title = model is not None and _registered().get(skeleton(title)) == model  # each shows its submitter
    found = []
    for other in others:
        owner = other.origin.submitter if other.origin.kind == "submission" else None
        name = f"{ascii(other.title)[1:-1]} ({other.id[:12]})"
        if owner is not None and owner != submitter and skeleton(owner) == skeleton(submitter):
            found.append(f"the submitter {submitter!r} looks like {owner!a}, who submitted {name}; write it alike")
        if owner != submitter and not own_title and skeleton(other.title) == skeleton(title):
            whose = "of the maintainers" if owner is None else f"of {owner!a}"
            found.append(f"the title {title!r} looks like that of the row {name} {whose}; {_REMEDY}")
    return list(dict.fromkeys(found))
