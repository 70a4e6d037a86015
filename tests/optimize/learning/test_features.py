"""Features: none looks ahead, none carries the price's level, and a configuration is read strictly."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.indicators import INDICATORS
from optimize.learning.errors import ModelConfigInvalid
from optimize.learning.features import FeatureConfig, feature_config, features, usable
from tests.optimize.learning.samples import noise

EVERYTHING: dict[str, Any] = {
    "returns": [1, 4],
    "volatility": [3, 7],
    "volume": [5],
    "indicators": [
        {"indicator": slug, "output": output, "params": {"period": 6} if "period" in params else {}, "lag": lag}
        for lag, (slug, params, output) in enumerate(
            (slug, {param.name for param in one.params}, one.outputs[-1])
            for slug, one in INDICATORS.items()
            if slug != "obv"
        )
    ],
}


@given(cut=st.integers(1, 199), gap=st.integers(0, 199), seed=st.integers(0, 1000))
def test_the_features_of_a_bar_are_the_same_bits_without_the_bars_behind_it(cut: int, gap: int, seed: int) -> None:
    bars = noise(200, seed)
    closes = bars.close.copy()
    closes[gap] = np.nan
    bars = replace(bars, close=closes)
    config = feature_config(EVERYTHING)

    whole, part = features(bars, config), features(bars.slice(0, cut), config)

    np.testing.assert_array_equal(whole[:cut], part)


def test_the_first_usable_bar_is_the_one_that_the_warm_up_promises() -> None:
    bars = noise(300)
    for config in (FeatureConfig(), feature_config(EVERYTHING)):
        assert int(np.flatnonzero(usable(bars, features(bars, config)))[0]) == config.warmup


def test_no_feature_knows_the_price_level() -> None:
    bars = noise(300)
    larger = replace(bars, **{name: getattr(bars, name) * 64 for name in ("open", "high", "low", "close")})
    config = feature_config(EVERYTHING)
    np.testing.assert_allclose(features(larger, config), features(bars, config), rtol=1e-7, atol=1e-9)


def test_a_bar_without_a_price_is_no_row() -> None:
    bars = noise(120)
    opens = bars.open.copy()
    opens[100] = np.nan
    bars = replace(bars, open=opens)
    config = feature_config({"indicators": []})
    assert not usable(bars, features(bars, config))[100]


def test_a_configuration_reads_itself_again() -> None:
    for config in (FeatureConfig(), feature_config(EVERYTHING)):
        assert feature_config(config.as_json()) == config
        assert len(set(config.names)) == len(config.names)


@pytest.mark.parametrize(
    ("value", "pointer", "code"),
    [
        ([], "feature_config", "invalid"),
        ({"return": [1]}, "feature_config/return", "unknown"),
        ({"returns": 5}, "feature_config/returns", "invalid"),
        ({"returns": [0]}, "feature_config/returns/0", "out_of_range"),
        ({"returns": [1, 1]}, "feature_config/returns/1", "duplicate"),
        ({"returns": [float("nan")]}, "feature_config/returns/0", "invalid"),
        ({"volatility": [1]}, "feature_config/volatility/0", "out_of_range"),
        ({"indicators": {}}, "feature_config/indicators", "invalid"),
        ({"indicators": [{}]}, "feature_config/indicators/0/indicator", "invalid_choice"),
        ({"indicators": [{"indicator": "rsii"}]}, "feature_config/indicators/0/indicator", "invalid_choice"),
        ({"indicators": [{"indicator": "obv"}]}, "feature_config/indicators/0/indicator", "invalid_choice"),
        (
            {"indicators": [{"indicator": "rsi", "params": {"period": 1}}]},
            "feature_config/indicators/0/params/period",
            "out_of_range",
        ),
        ({"indicators": [{"indicator": "rsi", "output": "k"}]}, "feature_config/indicators/0/output", "invalid_choice"),
        ({"indicators": [{"indicator": "rsi", "lag": -1}]}, "feature_config/indicators/0/lag", "out_of_range"),
        ({"indicators": [{"indicator": "rsi", "shift": 1}]}, "feature_config/indicators/0/shift", "unknown"),
        ({"indicators": [{"indicator": "rsi"}, {"indicator": "rsi"}]}, "feature_config/indicators/1", "duplicate"),
        ({"returns": [], "volatility": [], "indicators": []}, "feature_config", "out_of_range"),
        ({"returns": list(range(1, 202))}, "feature_config", "out_of_range"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_named(value: object, pointer: str, code: str) -> None:
    with pytest.raises(ModelConfigInvalid) as caught:
        feature_config(value)
    assert (pointer, code) in [(error.pointer, error.code) for error in caught.value.errors]
