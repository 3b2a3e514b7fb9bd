"""`from custom_features import CustomFeatureEngineering`, as users of the earlier system write it."""

from features.tabular.engineering import CustomFeatureEngineering

__all__ = ["CustomFeatureEngineering"]
