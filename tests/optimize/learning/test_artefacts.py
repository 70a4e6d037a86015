"""Saved models: they forecast as the trained one did, say what they have seen, and no damaged file is used."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from market.bars import Bars
from optimize.learning import artefacts
from optimize.learning.artefacts import digest, dump, load
from optimize.learning.errors import ModelFileInvalid, ModelLibraryMissing
from optimize.learning.families import FAMILIES, combinations, family_get
from optimize.learning.features import feature_config
from optimize.learning.labels import LabelConfig
from optimize.learning.panel import build
from optimize.learning.tuning import Plan, train_final
from tests.optimize.learning.samples import begin, finish, planted

FEATURES = feature_config({"returns": [1, 2, 5], "volatility": [5], "indicators": [{"indicator": "rsi"}]})
GRIDS: dict[str, dict[str, list[Any]]] = {
    "xgboost": {"n_estimators": [25]},
    "lightgbm": {"n_estimators": [25]},
    "random_forest": {"n_estimators": [15]},
    "logistic": {},
}
# XGBoost rounds its last step to float32.
CLOSE = {"xgboost": 2e-7, "lightgbm": 1e-12, "random_forest": 1e-12, "logistic": 1e-12}


def _trained(slug: str) -> tuple[Bars, Any, Any, int]:
    bars = planted(400)
    panel = build([bars], FEATURES, LabelConfig(horizon=1), start=begin(bars), end=finish(bars.slice(0, 300)))
    plan = Plan(family_get(slug), combinations(family_get(slug), GRIDS[slug]), seed=5)
    params = plan.combinations[0]
    return bars, panel, train_final(panel, plan, params, params.get("n_estimators", 0)), params.get("n_estimators", 0)


def _file(slug: str, fitted: Any, rounds: int, until: int, **changes: Any) -> bytes:
    description = {
        "model_type": slug,
        "params": {},
        "rounds": rounds,
        "feature_config": FEATURES.as_json(),
        "features": list(FEATURES.names),
        "trained_until_ns": until,
    }
    return dump({**description, **changes}, fitted.arrays(rounds))


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_saved_model_forecasts_what_the_trained_one_did(slug: str) -> None:
    bars, panel, fitted, rounds = _trained(slug)
    model = load(_file(slug, fitted, rounds, int(panel.axis[-1])))
    expected = fitted.probabilities(panel.x, [rounds])[0]
    found = model.probabilities(bars, in_sample=True)[panel.bar]
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE[slug])


@pytest.mark.parametrize("slug", FAMILIES)
def test_fewer_rounds_are_kept_as_asked(slug: str) -> None:
    _, panel, fitted, rounds = _trained(slug)
    fewer = max(rounds - 10, 0)
    model = load(_file(slug, fitted, fewer, 0))
    np.testing.assert_allclose(
        model.predict(panel.x), fitted.probabilities(panel.x, [fewer])[0], rtol=0, atol=CLOSE[slug]
    )


@pytest.mark.parametrize("slug", FAMILIES)
def test_equal_models_have_equal_files(slug: str) -> None:
    first, second = (_trained(slug) for _ in range(2))
    assert digest(_file(slug, first[2], first[3], 0)) == digest(_file(slug, second[2], second[3], 0))


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_forecast_is_the_same_bits_without_the_bars_behind_it(slug: str) -> None:
    bars, _, fitted, rounds = _trained(slug)
    model = load(_file(slug, fitted, rounds, 0))
    whole = model.probabilities(bars)
    for cut in (20, 21, 57, 300, 399):
        np.testing.assert_array_equal(model.probabilities(bars.slice(0, cut)), whole[:cut])


def test_bars_that_training_saw_get_no_forecast_unless_asked_for() -> None:
    bars, panel, fitted, rounds = _trained("logistic")
    model = load(_file("logistic", fitted, rounds, int(panel.axis[-1])))
    forecast = model.probabilities(bars)
    assert np.isnan(forecast[:300]).all()
    assert np.isfinite(forecast[300:]).all()
    assert np.isfinite(model.probabilities(bars, in_sample=True)[model.warmup : 300]).all()


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_damaged_file_is_refused(slug: str) -> None:
    _, _, fitted, rounds = _trained(slug)
    good = _file(slug, fitted, rounds, 0)
    for bad in (b"", good[:-40], good[: len(good) // 2], b"PK" + good[100:], b"\x80\x04K*."):
        with pytest.raises(ModelFileInvalid):
            load(bad)


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_file_whose_arrays_are_missing_or_of_another_kind_is_refused(slug: str) -> None:
    _, _, fitted, rounds = _trained(slug)
    description = json.loads(json.dumps(load(_file(slug, fitted, rounds, 0)).description))
    arrays = fitted.arrays(rounds)
    for name in arrays:
        others = {other: values for other, values in arrays.items() if other != name}
        for broken in (others, {**others, name: arrays[name][:0]}, {**others, name: arrays[name].astype(np.float32)}):
            with pytest.raises(ModelFileInvalid):
                load(dump(description, broken))


@pytest.mark.parametrize("slug", ["xgboost", "lightgbm", "random_forest"])
@pytest.mark.parametrize(
    ("name", "place", "value"), [("left", 0, 0), ("left", 0, 9999), ("right", 0, -1), ("feature", 0, 77)]
)
def test_trees_that_would_walk_in_circles_or_out_of_their_arrays_are_refused(
    slug: str, name: str, place: int, value: int
) -> None:
    _, _, fitted, rounds = _trained(slug)
    arrays = fitted.arrays(rounds)
    arrays[name] = arrays[name].copy()
    arrays[name][place] = value
    description = load(_file(slug, fitted, rounds, 0)).description
    with pytest.raises(ModelFileInvalid):
        load(dump(description, arrays))


def test_objects_are_never_unpickled() -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (sys.exit, (3,))

    import io

    stream = io.BytesIO()
    np.savez(stream, description=np.array([Trap()], dtype=object))
    with pytest.raises(ModelFileInvalid):
        load(stream.getvalue())


def test_a_file_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, fitted, rounds = _trained("logistic")
    monkeypatch.setattr(artefacts, "MOST_BYTES", 100)
    with pytest.raises(ModelFileInvalid, match="unpacks"):
        load(_file("logistic", fitted, rounds, 0))


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "perceptron"},
        {"features": ["return 1"]},
        {"feature_config": {"returns": "all"}},
        {"trained_until_ns": "yesterday"},
    ],
)
def test_a_description_that_fits_no_model_is_refused(changes: dict[str, Any]) -> None:
    _, _, fitted, rounds = _trained("logistic")
    with pytest.raises(ModelFileInvalid):
        load(_file("logistic", fitted, rounds, 0, **changes))


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_model_of_other_features_than_described_is_refused(slug: str) -> None:
    _, _, fitted, rounds = _trained(slug)
    other = feature_config({"returns": [1], "volatility": [], "indicators": []})
    with pytest.raises(ModelFileInvalid):
        load(_file(slug, fitted, rounds, 0, feature_config=other.as_json(), features=list(other.names)))


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = planted(400)
    panel = build([bars], FEATURES, LabelConfig(horizon=1), start=begin(bars), end=finish(bars))
    for name in ("xgboost", "lightgbm", "sklearn.ensemble", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, name, None)
    plan = Plan(family_get(slug), combinations(family_get(slug), GRIDS[slug]))
    with pytest.raises(ModelLibraryMissing, match=r"requirements\.txt"):
        train_final(panel, plan, plan.combinations[0], 1)


@pytest.mark.parametrize("slug", FAMILIES)
def test_a_saved_model_forecasts_where_no_library_is_installed(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bars, _, fitted, rounds = _trained(slug)
    data = _file(slug, fitted, rounds, 0)
    for name in [name for name in sys.modules if name.split(".")[0] in ("sklearn", "xgboost", "lightgbm")]:
        monkeypatch.setitem(sys.modules, name, None)
    assert np.isfinite(load(data).probabilities(bars)[-1])


def test_importing_the_package_imports_no_library() -> None:
    code = (
        "import sys, optimize.learning.tuning, optimize.learning.artefacts\n"
        "print(sorted({'xgboost', 'lightgbm', 'sklearn', 'scipy', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
