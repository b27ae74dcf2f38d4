"""Messages that a terminal can be trusted with."""

from tamis.errors import FileError


def test_control_characters_of_a_name_are_written_out_and_lines_are_joined():
    message = str(FileError("\x1b]0;title\x07\x1b[2J: no file\nélan \u202etxt"))
    assert message == r"\x1b]0;title\x07\x1b[2J: no file élan \u202etxt"
