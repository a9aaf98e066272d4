"""``multi-exposure/1``: stacks of exposures of one scene, fused into one in which nothing is lost in black or white."""

from __future__ import annotations

from fusionbench.evaluation.protocols.stacks import StackProtocol


class MultiExposure(StackProtocol):
    """The protocol ``multi-exposure/1``, of 2 to 9 exposures.

    MEF-SSIM holds the structure of the image against the strongest of all exposures and knows no brightness; PSNR and
    SSIM are to the truth and do. Qabf is among the others to show how it misleads here: it asks for the edges of
    clipped exposures.
    """

    name, version, title = "multi-exposure", "1", "multi-exposure stacks"
    about = "A model fuses exposures of one scene; the image is compared with the exposure that clips nothing."
    views = "exposure"
    most = 9
    metrics_used = ("mef_ssim", "psnr_target", "ssim_target", "mef_ms_ssim", "qabf", "nmi", "vif", "en", "sd", "ag")
    columns = metrics_used


PROTOCOL = MultiExposure()
