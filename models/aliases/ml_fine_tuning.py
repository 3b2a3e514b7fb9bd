"""`from ml_fine_tuning import MLModelFineTuning`, as users of the earlier system write it."""

from models.tabular import MLModelFineTuning

__all__ = ["MLModelFineTuning"]
