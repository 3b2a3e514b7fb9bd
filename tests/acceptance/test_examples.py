"""The owner's usage examples, as they stand, from an empty folder, in a new process, on the built package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROOMS = ("demand", "features", "models", "evaluation", "jobs", "serve_app")

FIRST = """
fine_tuner = MLModelFineTuning('./data/business_data.csv')
df = fine_tuner.load_business_data()
metrics = fine_tuner.fine_tune_pipeline(df, target_column='revenue')
fine_tuner.save_models('./ml_models')
"""
SECOND = """
feature_engineer = CustomFeatureEngineering()
df = pd.read_csv('business_data.csv')
df = feature_engineer.complete_feature_pipeline(
    df,
    date_col='transaction_date',
    agg_cols=['revenue', 'units_sold'],
    cat_cols=['product_category', 'region']
)
summary = feature_engineer.get_feature_summary()
"""
THIRD = """
from ml_fine_tuning import MLModelFineTuning

fine_tuner = MLModelFineTuning('./data/sales_data.csv')
df = fine_tuner.load_business_data()
metrics = fine_tuner.fine_tune_pipeline(df, 'monthly_revenue')

print(f"Model Performance:")
print(f"  RMSE: {metrics['regression']['rmse']:.2f}")
print(f"  R² Score: {metrics['regression']['r2_score']:.4f}")

fine_tuner.save_models('./production_models')
"""
FOURTH = """
from custom_features import CustomFeatureEngineering

engineering = CustomFeatureEngineering()
df = pd.read_csv('business_data.csv')

df = engineering.complete_feature_pipeline(
    df,
    date_col='transaction_date',
    agg_cols=['revenue', 'customer_count'],
    cat_cols=['market_segment', 'product_line']
)

summary = engineering.get_feature_summary()
print(f"Total Features Created: {summary['total_features']}")
print(f"Feature Groups: {summary['feature_groups']}")
"""
# The brief's first two snippets begin after their imports.
IMPORTS = """import pandas as pd
from custom_features import CustomFeatureEngineering
from ml_fine_tuning import MLModelFineTuning
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The package as its build makes it, unpacked; built from a copy, so that nothing is written here."""
    root = tmp_path_factory.mktemp("build")
    source = root / "source"
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(root)!r})"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = root.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / "installed")
    return root / "installed"


def rows(folder):
    """Generated files with the columns that the examples name."""
    rng, n = np.random.default_rng(5), 200
    days = pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d")
    revenue = rng.gamma(3, 500, n).round(2)
    business = pd.DataFrame(
        {"transaction_date": days, "revenue": revenue, "units_sold": rng.integers(1, 40, n),
         "customer_count": rng.integers(1, 9, n), "product_category": rng.choice(["A", "B"], n),
         "region": rng.choice(["N", "S"], n), "market_segment": rng.choice(["retail", "trade"], n),
         "product_line": rng.choice(["knit", "woven"], n)}
    )  # fmt: skip
    own = pd.DataFrame(
        {"id": range(1, n + 1), "date": days, "revenue": revenue, "category": rng.choice(["Electronics", "Home"], n),
         "engagement": rng.random(n).round(2), "last_purchase_days_ago": rng.integers(0, 120, n)}
    )  # fmt: skip
    sales = own.rename(columns={"revenue": "monthly_revenue"})
    (folder / "data").mkdir()
    own.to_csv(folder / "data" / "business_data.csv", index=False)
    sales.to_csv(folder / "data" / "sales_data.csv", index=False)
    business.to_csv(folder / "business_data.csv", index=False)


def test_when_the_examples_are_run_as_written_then_they_do_what_they_say(installed, tmp_path):
    rows(tmp_path)
    text = IMPORTS + FIRST + SECOND + "print(summary['feature_groups'], len(df.columns), flush=True)\n" + THIRD + FOURTH
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    second, title, rmse, r2, total, groups = done.stdout.strip().splitlines()
    assert second == "['temporal', 'aggregation', 'categorical', 'business'] 29"
    assert title == "Model Performance:"
    assert float(rmse.removeprefix("  RMSE: ")) > 0
    assert float(r2.removeprefix("  R² Score: ")) <= 1
    assert total == "Total Features Created: 21"
    assert groups == "Feature Groups: ['temporal', 'aggregation', 'categorical', 'business']"
    for name in ("ml_models", "production_models"):
        assert {path.name for path in (tmp_path / name).iterdir()} == {
            "card.json", "model.npz", "performance_metrics.json", "preparation.json", "preparation.npz",
        }  # fmt: skip


def test_when_the_environment_was_made_by_make_then_its_python_knows_the_names_in_any_folder(tmp_path):
    text = "import custom_features, ml_fine_tuning; print(ml_fine_tuning.MLModelFineTuning.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("models.tabular")


def test_when_the_readme_of_the_room_shows_the_examples_then_they_are_these():
    shown = (ROOT / "features" / "tabular" / "README.md").read_text(encoding="utf-8")
    for example in (FIRST, SECOND, THIRD, FOURTH):
        assert example in shown
