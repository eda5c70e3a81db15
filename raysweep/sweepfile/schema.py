"""The JSON Schema of a sweep file: what editors check it with, and `raysweep schema` prints."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from raysweep.sweepfile.distributions import ARGUMENTS
from raysweep.sweepfile.foreign import ANCHORS
from raysweep.sweepfile.forms import FORM_KEYS

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_VALUES = {"type": "array", "minItems": 1}
_PARAMETER = {"$ref": "#/properties/parameters/additionalProperties"}


def _one_key(key: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: schema}, "required": [key], "additionalProperties": False}


def _numbers(least: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "number"}, "minItems": least, "maxItems": 3}


def _distribution() -> dict[str, Any]:
    numbers = sorted({argument for arguments in ARGUMENTS.values() for argument in arguments})
    properties: dict[str, Any] = {key: {"type": "number"} for key in numbers}
    properties["distribution"] = {"enum": [*ARGUMENTS, "categorical", "categorical_w_probabilities", "constant"]}
    properties |= {"values": _VALUES, "value": {}}
    properties["probabilities"] = {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}
    drawn = [{"required": [key]} for key in ("distribution", "min", "probabilities")]
    return {"type": "object", "properties": properties, "anyOf": drawn, "additionalProperties": False}


PARAMETERS: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "anyOf": [
            {**_SCALAR, "description": "a constant"},
            {**_VALUES, "description": "an axis"},
            _one_key("values", _VALUES),
            _one_key("grid_search", _VALUES),
            {**_one_key("value", {}), "description": "a constant, also a list or an object"},
            {**_one_key("range", _numbers(2)), "description": "an axis: from, to, and the step, 1 by default"},
            {**_one_key("geomspace", _numbers(3)), "description": "an axis: from, to, and how many values"},
            {**_one_key("expr", {"type": "string"}), "description": "computed from other parameters"},
            {
                **_one_key("one_of", {"type": "array", "minItems": 2, "items": _PARAMETER}),
                "description": "one of these, each with parameters of its own",
            },
            {**_distribution(), "description": "drawn at random"},
            _one_key("parameters", {"type": "object", "minProperties": 1, "additionalProperties": _PARAMETER}),
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"not": {"enum": sorted(FORM_KEYS)}},
                "additionalProperties": _PARAMETER,
                "description": "a group of parameters",
            },
        ]
    },
}


def generate() -> dict[str, Any]:
    """The schema, made from the model.

    The parameters' part is put in afterwards: what pydantic's own hooks put in may not refer to itself, as groups do.
    """
    from raysweep.sweepfile.spec import SweepSpec

    schema = SweepSpec.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["parameters"] = PARAMETERS
    schema["title"] = "raysweep sweep file"
    schema["required"] = ["parameters"]  # the name is the file's stem, where it is not given
    schema["oneOf"] = [{"required": ["trainable"]}, {"required": ["program"]}]
    schema["patternProperties"] = {f"^{ANCHORS}": True}  # what YAML refers to elsewhere
    return schema


def shipped() -> str:
    """The text of the schema file in the package."""
    return files("raysweep.sweepfile").joinpath("sweep.schema.json").read_text(encoding="utf-8")
