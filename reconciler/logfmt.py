"""One log line as key=value pairs, safe to read by people and machines whatever strangers put into the values.

Pod names, annotations and class names come from people who may not be trusted with our log: a value with anything but
plain characters is quoted as JSON, so it can neither end the line nor pretend to be another key.
"""

import json
import re

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,*$~-]+\Z")
_LONGEST = 1000


def line(event: str, **values: object) -> str:
    """`event key=value ...`; values that are None or "" are left out."""
    shown = {key: text(value) for key, value in values.items() if value is not None and value != ""}
    return " ".join([event, *(f"{key}={value}" for key, value in shown.items())])


def text(value: object) -> str:
    word = str(value)
    if len(word) > _LONGEST:
        word = f"{word[:_LONGEST]}..."
    return word if _PLAIN.match(word) else json.dumps(word)
