"""A process that uses memory as it is told and says what it used: ground truth for trackers, by byte and by time.

`settings` understands the command line (memtierd's `meme` and more), `windows` says which bytes a round touches,
`arrays` are the memory, `rounds` touches it, `truth` writes down what was touched, `program` runs it all, and `score`
compares the truth with what a tracker claims. All but `score` need nothing beyond Python's standard library.
"""
