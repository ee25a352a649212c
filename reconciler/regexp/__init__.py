r"""Regular expressions of configuration files, searched in texts that strangers choose and whose cost is bounded.

Python's own `re` tries one alternative after the other: `(a+)+$` on a path of forty letters outlives the node, and
holds up every thread. Here all alternatives are followed at once, so the time is at most the length of the text times
the places in the expression. The language is the common part of Go's, which memtierd reads, and Python's:

    x  .  [a-z]  [^a-z]  [[:alpha:]]  \d \D \s \S \w \W  \.  \x2f  \t    one character; classes are ASCII
    (x)  (?:x)  (?P<name>x)  x|y  x*  x+  x?  x{2}  x{2,}  x{2,5}          groups, choices, repeats (lazy ones, too)
    ^  $  \A  \z  \b  \B                                                 begin, end, borders of words
    (?i)                                                                  first of all: upper and lower case alike
"""

from reconciler.regexp.search import Regexp, compiled

__all__ = ["Regexp", "compiled"]
