"""Models of a company's own tables: any columns in, one of them predicted from the others."""

from models.tabular.fine_tuning import MLModelFineTuning
from models.tabular.fitted import FittedTable
from models.tabular.settings import FineTuneSettings

__all__ = ["FineTuneSettings", "FittedTable", "MLModelFineTuning"]
