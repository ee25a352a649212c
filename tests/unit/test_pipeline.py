"""Where a line of the prompt ends and the shell begins."""

import pytest

from reconciler.engine import pipeline


@pytest.mark.parametrize(
    ("line", "prompt", "shell"),
    [
        ("stats", "stats", ""),
        ("stats | grep accessed", "stats", "grep accessed"),
        ("stats|sort|head -1", "stats", "sort|head -1"),
        ("log -i -f 'a|b' | cat", "log -i -f 'a|b'", "cat"),
        ('log -i -f "a\\"|b" | cat', 'log -i -f "a\\"|b"', "cat"),
        ("log a\\|b | cat", "log a\\|b", "cat"),
        ("log 'a\\' | cat", "log 'a\\'", "cat"),
        ("| date", "", "date"),
        ("stats |", "stats", ""),
        ("log 'never closed | cat", "log 'never closed | cat", ""),
    ],
)
def test_split(line: str, prompt: str, shell: str) -> None:
    assert pipeline.split(line) == (prompt, shell)
