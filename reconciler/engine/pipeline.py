"""A line of memtierd's prompt that may hand its output to the shell: `stats | grep accessed`."""


def split(line: str) -> tuple[str, str]:
    """What the prompt does, and what the shell does with its output ("" = nothing): cut at the first bare |."""
    quote = ""
    escaped = False
    for at, sign in enumerate(line):
        if escaped:
            escaped = False
        elif sign == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "|":
            return line[:at].strip(), line[at + 1 :].strip()
    return line.strip(), ""
