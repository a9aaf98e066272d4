"""``multi-focus/1``: stacks of pictures, each in focus at another depth, fused into one that is sharp all over."""

from __future__ import annotations

from fusionbench.evaluation.protocols.stacks import StackProtocol


class MultiFocus(StackProtocol):
    """The protocol ``multi-focus/1``.

    PSNR and SSIM are to the truth. The others are those of the field's tables, which need none: mutual information
    (NMI), edges (Qabf, Qg), structure (Qy), contrast as eyes see it (Qcb), fidelity (VIF), and sharpness (SF, AG).
    """

    name, version, title = "multi-focus", "1", "multi-focus stacks"
    about = "A model fuses pictures that are in focus at different depths; the image is compared with the sharp truth."
    views = "focus"
    metrics_used = ("psnr_target", "ssim_target", "nmi", "qabf", "qg", "qy", "qcb", "vif", "sf", "ag")
    columns = metrics_used


PROTOCOL = MultiFocus()
