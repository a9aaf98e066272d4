"""Parts of recipes that several tests write."""

# every third image of a folder is held out
FOLDER_SPLITS = """\
[source]
name = "folder"

[splits.train]
source = "all"
every = 3
part = "rest"

[splits.test]
source = "all"
every = 3
part = "held-out"
"""
