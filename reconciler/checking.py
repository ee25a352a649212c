"""A document against a JSON Schema, with messages that a person can act on.

The schemas are written for this: `title` names what a value must be, `description` explains it and `examples` shows it,
for editors and for our hints alike.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from reconciler import documents
from reconciler.documents import Document, step
from reconciler.model import Problem

_TYPES = {
    "object": "a mapping (key: value)",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
_BOUNDS = {
    "minimum": "too small; the least is",
    "maximum": "too large; the most is",
    "exclusiveMinimum": "too small; it must be more than",
}


def validate(document: Document, schema: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything in the document that the schema does not allow."""
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document.value)
    return documents.limited(problem for error in errors for problem in _problems(document, error))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint for a word that nobody knows: the one that was probably meant, else all there are."""
    folded = {name.lower().replace("_", "").replace("-", ""): name for name in known}
    endings = [name for name in known if word.endswith(f".{name}")]
    if endings:
        return f'did you mean "{max(endings, key=len)}"?'
    near = difflib.get_close_matches(word[:40].lower().replace("_", "").replace("-", ""), folded, 1, 0.6)
    if near:
        return f'did you mean "{folded[near[0]]}"?'
    return "known here: " + ", ".join(known) if known else ""


def show(value: object) -> str:
    """A value inside a message."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f'the text "{documents.shorten(value)}"'
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return documents.shorten(str(value))


def _problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    if error.context:
        yield from (p for inner in _likeliest(error) for p in _problems(document, inner))
        return
    pointer = document.offset.pointer
    for key in error.absolute_path:
        pointer = step(pointer, key)
    if error.validator == "additionalProperties":
        yield from _unknown_keys(document, pointer, error)
        return
    message, hint = _said(error)
    yield document.problem(pointer, message, hint)


def _likeliest(error: ValidationError) -> list[ValidationError]:
    """Of the branches of anyOf: the one whose type fits, else the error itself without its branches."""
    branches: dict[object, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    fitting = [
        errors for errors in branches.values() if not any(e.validator == "type" and not e.relative_path for e in errors)
    ]
    if fitting:
        return min(fitting, key=len)
    error.context = []
    return [error]


def _unknown_keys(document: Document, pointer: str, error: ValidationError) -> Iterator[Problem]:
    known = list(error.schema.get("properties", {})) if isinstance(error.schema, Mapping) else []
    assert isinstance(error.instance, Mapping)
    for key in error.instance:
        if key not in known:
            said = f'unknown key "{documents.shorten(key)}"'
            yield document.problem(step(pointer, key), said, did_you_mean(key, known))


def _said(error: ValidationError) -> tuple[str, str]:
    """The message and the hint for one failed keyword."""
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    value: Any = error.instance
    wanted: Any = error.validator_value
    match error.validator:
        case "type":
            return f"must be {_expected(schema, wanted)}, not {show(value)}", _hint(schema, value)
        case "enum":
            words = [str(word) for word in wanted]
            near = did_you_mean(value, words) if isinstance(value, str) else ""
            return f"must be one of {', '.join(words)}, not {show(value)}", near if "mean" in near else ""
        case "required":
            missing = next((key for key in wanted if key not in value), "")
            return f'the key "{missing}" is missing', _hint(schema.get("properties", {}).get(missing, {}), value)
        case "minimum" | "maximum" | "exclusiveMinimum":
            return f"{show(value)} is {_BOUNDS[error.validator]} {wanted}", _hint(schema, value)
        case "minLength" | "minItems" | "maxLength" | "maxItems":
            much = "must not be empty" if error.validator.startswith("min") else f"is longer than {wanted}"
            return much, _hint(schema, value)
        case _:
            return f"must be {_expected(schema, ())}, not {show(value)}", _hint(schema, value)


def _expected(schema: Mapping[str, Any], types: object) -> str:
    if "title" in schema and "$schema" not in schema:  # a whole schema's title is that of a document
        return str(schema["title"])
    names = [types] if isinstance(types, str) else list(types) if isinstance(types, list) else []
    return " or ".join(_TYPES[name] for name in names if name != "null") or "something else"


def _hint(schema: Mapping[str, Any], value: object) -> str:
    if isinstance(value, bool) and schema.get("type") == "string":
        return 'YAML reads yes, no, on and off as true and false: put the word in "quotes"'
    if schema.get("type") == "boolean" and str(value).lower() in {"true", "false", "yes", "no", "on", "off"}:
        return "write it without quotes"
    said = str(schema.get("description", "")).rstrip(".")
    example = next((str(e) for e in schema.get("examples", ()) if not isinstance(e, dict | list)), "")
    return "; for example ".join(part for part in (said, example) if part)
