"""FusionVAE and its family."""
