"""A tuned model as a file: plain arrays and a JSON description, never pickled objects.

The file is NumPy's zip of arrays: trees node by node, or the coefficients of a line. Reading one runs no code from it
and no library's parser (XGBoost's ends the process over a damaged model); what is read is checked before it is used.
So a model forecasts where no learning library is installed. The same model gives the same bytes: its SHA-256 is its
name.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray
from optimize.learning.errors import ModelConfigInvalid, ModelFileInvalid
from optimize.learning.families import FAMILIES, Predictor
from optimize.learning.features import FeatureConfig, feature_config, features, usable

FORMAT = "trading-desk/model/1"
MOST_BYTES = 512 * 1024 * 1024
_DESCRIPTION = "description"
_NEEDED = ("format", "model_type", "feature_config", "features", "params", "rounds", "trained_until_ns")


@dataclass(frozen=True, eq=False)
class Model:
    """A model that was read.

    Attributes:
        description: as it was written: model_type, params, rounds, feature_config, features, label_config, symbols,
            fingerprint of the data, seed, versions of the libraries, trained_until_ns (int).
        trained_until_ns: when the last bar opened that training saw, by a feature or by a label. On bars up to it the
            model knows the answer.
    """

    description: dict[str, Any]
    features: FeatureConfig
    trained_until_ns: int
    predict: Predictor

    @property
    def warmup(self) -> int:
        """Bars that must be there before the first forecast."""
        return self.features.warmup

    def probabilities(self, bars: Bars, *, in_sample: bool = False) -> FloatArray:
        """Return the probability of a rise after each bar, from bars up to it; NaN on bars that lack a feature.

        A bar that training saw gives NaN too: what the model says of it is no forecast. `in_sample` asks for those
        all the same, for showing how a model fits, never for deciding.
        """
        result = np.full(len(bars), np.nan)
        matrix = features(bars, self.features)
        wanted = usable(bars, matrix)
        if not in_sample:
            wanted &= bars.time > self.trained_until_ns
        if wanted.any():
            result[wanted] = self.predict(np.ascontiguousarray(matrix[wanted], dtype=np.float32))
        return result


def dump(description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return the file of a model; `description` must be JSON and have what `Model` says."""
    text = json.dumps({**description, "format": FORMAT}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    stream = io.BytesIO()
    # Of one date always (NumPy's zip), and in order of name: equal models, equal bytes.
    named = {_DESCRIPTION: np.frombuffer(text.encode(), dtype=np.uint8), **dict(sorted(arrays.items()))}
    np.savez_compressed(stream, allow_pickle=False, **named)  # type: ignore[arg-type]
    return stream.getvalue()


def digest(data: bytes) -> str:
    """Return the name of a file by its content."""
    return hashlib.sha256(data).hexdigest()


def load(data: bytes) -> Model:
    """Read a model's file.

    Raises:
        ModelFileInvalid: when it is damaged, too large, of another format, or describes no model.
    """
    arrays = _arrays(data)
    text = arrays.pop(_DESCRIPTION, None)
    try:
        description = json.loads((b"" if text is None else text.tobytes()).decode())
    except ValueError as error:
        raise ModelFileInvalid("The model's file has no description. Tune the model anew.") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ModelFileInvalid(f"The model's file is not of the form {FORMAT}. Tune the model anew.")
    missing = [name for name in _NEEDED if name not in description]
    family = FAMILIES.get(str(description.get("model_type")))
    if missing or family is None or not isinstance(description["trained_until_ns"], int):
        raise ModelFileInvalid("The model's description is not complete. Tune the model anew.")
    try:
        config = feature_config(description["feature_config"])
    except ModelConfigInvalid as error:
        raise ModelFileInvalid(f"The model asks for features that there are not: {error.detail}") from error
    if list(config.names) != description["features"]:
        raise ModelFileInvalid("The model's features are not those of its configuration. Tune the model anew.")
    predictor = family.predictor(arrays, len(config.names))
    return Model(description, config, description["trained_until_ns"], predictor)


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise ModelFileInvalid(f"The model's file unpacks to more than {MOST_BYTES} bytes.")
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        OverflowError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
    ) as error:
        raise ModelFileInvalid(f"The model's file is damaged: {error}. Tune the model anew.") from error
