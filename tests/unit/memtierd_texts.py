"""Short ways to write and read memtierd's configuration in tests."""

import textwrap

from reconciler import documents
from reconciler.documents import Document
from reconciler.engineconfig import EngineConfig
from reconciler.memtierd import config
from reconciler.model import Severity

OWN = ("$CGROUP2_ABS_PATH",)


def read(text: str, *, programs: bool = True) -> config.Read:
    document = documents.parse(textwrap.dedent(text), "m.yaml")
    assert isinstance(document, Document), document
    return config.read(document, "", document.value, programs=programs)


def engine(text: str) -> EngineConfig:
    """What must be read without an error."""
    found = read(text)
    assert found.config is not None, found.problems
    return found.config


def said(text: str) -> list[tuple[str, str]]:
    return [(problem.severity, problem.message) for problem in read(text).problems]


def policy(name: str, inner: str = "") -> str:
    """A policy in mappings, with these settings and an interval."""
    return f"policy: {{name: {name}, config: {{interval: 10s, {inner}}}}}"


def age(inner: str) -> str:
    return policy("age", inner)


def check_error(text: str, message: str, hint: str = "") -> None:
    """No configuration comes of it, and one error says so."""
    found = read(text)
    errors = [problem for problem in found.problems if problem.severity is Severity.ERROR]

    assert found.config is None
    assert message in "\n".join(problem.message for problem in errors)
    assert hint in "\n".join(problem.hint for problem in errors if message in problem.message)
    assert all(problem.hint and problem.line for problem in errors)
