r"""Stack traces inside JSON: in strings, with escaped line ends, and as the frames of Sentry's events.

What is added goes into the strings and objects, so that what was valid JSON stays valid. The rest is not written anew:
each byte outside of the additions stays.

Inside a string a line ends with ``\n``; in JSON inside a string inside JSON with ``\\n``, and so on: each level of
nesting doubles the backslashes.

Sentry's frames: https://develop.sentry.dev/sdk/data-model/event-payloads/stacktrace/
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from wasmscope.dwarf.dialects import NEEDLES, Match, find
from wasmscope.wasm import Address, AddressKind

if TYPE_CHECKING:
    from wasmscope.cli._symbolize_text import LineExtender
    from wasmscope.dwarf import Frame

    _Edit: TypeAlias = tuple[int, int, str]
    """Where text is to be replaced, and with what."""

__all__ = ["JsonDocument", "extend_json_line"]

_MAX_DOCUMENT_BYTES: Final = 16 << 20
_MAX_DEPTH: Final = 500
_MAX_LEVEL: Final = 4
# Possessive: a string without an end costs one pass, not one for each way to divide it.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
# From the first backslash on: tried from each of a long run, they would cost the square of its length.
_LINE_END: Final = re.compile(r"(?<!\\)(\\++)n")
_ESCAPE: Final = re.compile(r"(?<!\\)\\++(?:u[0-9a-fA-F]{4}|.)")
_CAN_GO_ON: Final = b'"{}[]-0123456789tfn,:'
_FRAME_KEYS: Final = ("instruction_addr", "addr_mode", "package", "filename", "abs_path", "function", "lineno", "colno")
_IMAGE_KEYS: Final = ("code_file", "debug_file", "code_id")
_KEYS: Final = frozenset(_FRAME_KEYS + _IMAGE_KEYS)


class JsonDocument:
    """A JSON document over several lines, as far as it has come.

    Attributes:
        lines: What has come.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lines: list[bytes] = []
        self._depth = 0
        self._size = 0

    def take(self, line: bytes) -> bool | None:
        """Take the next line.

        Returns:
            True if the document is complete, False if it is none after all, None if there is more to come.
        """
        self.lines.append(line)
        self._size += len(line)
        start = line.strip()[:1]
        if self._size > _MAX_DOCUMENT_BYTES or (start and start not in _CAN_GO_ON):
            return False
        for token in _BRACKETS.finditer(line):
            match token[0]:
                case b"{" | b"[":
                    self._depth += 1
                case b"}" | b"]":
                    self._depth -= 1
                    if self._depth < 0:
                        return False
                case _:
                    pass
        return True if self._depth == 0 else None

    def extended(self, extender: LineExtender) -> bytes:
        """Give the whole document with what is to be added."""
        text = b"".join(self.lines).decode("utf-8", "surrogateescape")
        extended = _extend(text, extender)
        return (text if extended is None else extended).encode("utf-8", "surrogateescape")


def extend_json_line(line: str, extender: LineExtender) -> str | None:
    """Add to the strings and objects of a line that is JSON, is part of it, or has it after a log's prefix.

    Args:
        line: The line.
        extender: Who knows what to add.

    Returns:
        The line with what was added; None if no frame is in JSON, so that the line is to be taken as plain text.
    """
    start = line.lstrip()[:1]
    if start not in ("{", "[", '"') and "\\n" not in line:
        return None
    if extender.passes_unseen() and "instruction_addr" not in line and not find(_ESCAPE.sub(" ", line)):
        return line  # Most lines of most logs: taking them apart takes ten times as long as this.
    return _extend(line, extender)


def _extend(text: str, extender: LineExtender) -> str | None:
    strings: list[tuple[int, int]] = []
    objects = _Objects()
    for token in _TOKEN.finditer(text):
        if not objects.take(token):
            return None
        word = token[0]
        if word[0] == '"' and len(word) > 1 and word[-1] == '"' and any(needle in word for needle in NEEDLES):
            strings.append((token.start() + 1, token.end() - 1))
    # Only now that it is no plain text after all: nobody is to be asked for a frame twice.
    edits: list[_Edit] = [(start, end, _extend_string(text[start:end], extender)) for start, end in strings]
    edits += objects.edits(text, extender)
    return _edited(text, 0, len(text), edits) if edits else None


def _edited(text: str, start: int, end: int, edits: list[_Edit]) -> str:
    """Give part of a text with edits made; of edits that overlap, the one that begins first, and the longest."""
    parts: list[str] = []
    at = start
    for first, last, replaced in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
        if first >= at:
            parts += (text[at:first], replaced)
            at = last
    return "".join((*parts, text[at:end]))


def _extend_string(raw: str, extender: LineExtender) -> str:
    """Add to the lines inside a string.

    Args:
        raw: The string as it is written, without its quotes.
        extender: Who knows what to add.

    Returns:
        The string as it is to be written.
    """
    ends = list(_LINE_END.finditer(raw))
    if not ends and '\\"' in raw:
        return raw  # perhaps JSON inside, and there is no telling where its strings end
    parts: list[str] = []
    start = previous = 0
    for end in (*ends, None):
        segment = raw[start : end.start() if end else len(raw)]
        following = _level(end) if end else 0
        extended = _extend_segment(segment, previous, following, extender)
        if extended is not None:
            parts.append(extended)
            parts.append(end[0] if end else "")
        elif not end and parts:
            parts.pop()  # the last line goes, and with it the end of the one before
        if end:
            start = end.end()
        previous = following
    return "".join(parts)


def _extend_segment(segment: str, previous: int, following: int, extender: LineExtender) -> str | None:
    """Add to a line inside a string.

    Args:
        segment: The line as it is written, without its end.
        previous: How deep the line end before it is nested; 0 if there is none.
        following: How deep the one after it is nested.
        extender: Who knows what to add.

    Returns:
        The line as it is to be written; None if it is to go.
    """
    added = extender.extend(_decoded(segment))
    if not added:
        return None if added is None else segment
    level = max(previous, following, 1)
    at = len(segment)
    if level > 1:
        # The string inside ends here, if its closing quote comes before the end of the line.
        first = min((i for needle in NEEDLES if (i := segment.find(needle)) >= 0), default=0)
        quote = segment.find("\\" * (2 ** (level - 1) - 1) + '"', first)
        if quote >= 0:
            at = quote
        elif following < level:
            level = max(following, 1)
    if level > _MAX_LEVEL:
        return segment
    escaped = "\n" + "\n".join(added)
    for _ in range(level):
        escaped = json.dumps(escaped)[1:-1]
    return f"{segment[:at]}{escaped}{segment[at:]}"


def _level(end: re.Match[str]) -> int:
    """Give how deep a line end is nested: one backslash is level 1, two are 2, four are 3."""
    count = len(end[1])
    return (count & -count).bit_length()


def _decoded(segment: str) -> str:
    r"""Undo escapes; what is nested several times over has them several times (``\\u003c``)."""
    for _ in range(_MAX_LEVEL):
        if "\\" not in segment:
            break
        try:
            decoded = json.loads(f'"{segment}"', strict=False)
        except ValueError:
            break
        if not isinstance(decoded, str):
            break
        segment = decoded
    return segment


class _Object:
    """An object whose end has not come yet, or a list.

    Attributes:
        start: Where it begins.
        is_list: Whether it is a list.
        key: The last key.
        awaits: Whether the next token is a value.
        members: Where the values are that matter here, by key.
        list_key: For what is in a list: the key under which the list is.
    """

    __slots__ = ("awaits", "is_list", "key", "list_key", "members", "start")

    def __init__(self, start: int, is_list: bool, list_key: str) -> None:
        self.start = start
        self.is_list = is_list
        self.list_key = list_key
        self.key = ""
        self.awaits = False
        self.members: dict[str, tuple[int, int]] = {}


class _Objects:
    """Finds Sentry's frames and images in a document, in one pass over its tokens."""

    def __init__(self) -> None:
        self._open: list[_Object] = []
        self._frames: list[tuple[_Object, int]] = []
        self._images: list[_Object] = []

    def take(self, token: re.Match[str]) -> bool:
        """Take the next token; False if the nesting is deeper than any JSON that is meant to be read."""
        word = token[0]
        top = self._open[-1] if self._open else None
        match word[0]:
            case "{" | "[":
                key = "" if top is None else top.key if not top.is_list else top.list_key
                self._open.append(_Object(token.start(), word == "[", key))
                return len(self._open) <= _MAX_DEPTH
            case "}" | "]":
                if top is None:
                    return True
                self._open.pop()
                if "instruction_addr" in top.members:
                    self._frames.append((top, token.end()))
                elif top.list_key == "images" and not top.is_list:
                    self._images.append(top)
            case ":":
                if top is not None:
                    top.awaits = True
            case ",":
                if top is not None:
                    top.awaits = False
            case _:
                if top is None or top.is_list:
                    return True
                if top.awaits:
                    if top.key in _KEYS:
                        top.members[top.key] = token.span()
                    top.awaits = False
                else:
                    top.key = word[1:-1]
        return True

    def edits(self, text: str, extender: LineExtender) -> list[_Edit]:
        """Give the frames that can be answered, with what replaces them."""
        edits: list[_Edit] = []
        done = 0
        for frame, end in sorted(self._frames, key=lambda each: each[0].start):
            if frame.start < done:
                continue  # Inside of one that is written anew.
            match = self._match(text, frame, end)
            answer = extender.answer(match) if match else ()
            if answer:
                # Sentry lists the oldest first.
                shown = [_frame_text(text, frame, end, each) for each in reversed(answer)]
                edits.append((frame.start, end, ", ".join(shown)))
                done = end
        return edits

    def _match(self, text: str, frame: _Object, end: int) -> Match | None:
        offset = _number(_value(text, frame, "instruction_addr"))
        if offset is None:
            return None
        mode = _value(text, frame, "addr_mode")
        image: _Object | None = None
        if isinstance(mode, str) and mode.startswith("rel:"):
            number = mode[4:]
            if number.isascii() and number.isdigit() and len(number) < 6 and int(number) < len(self._images):
                image = self._images[int(number)]
        names = [_value(text, frame, key) for key in ("package", "abs_path", "filename")]
        if image:
            in_image = [_value(text, image, key) for key in _IMAGE_KEYS]
            names = [*in_image[:-1], *names, in_image[-1]]
        module = next((name for name in names if isinstance(name, str) and name), None)
        if module is not None:
            module = module.partition("?")[0].replace("\\", "/").rpartition("/")[2] or None
        return Match(frame.start, end, Address(AddressKind.FILE, offset), None, module, None, None, "sentry")


def _value(text: str, of: _Object, key: str) -> object:
    span = of.members.get(key)
    if span is None:
        return None
    try:
        value: object = json.loads(text[span[0] : span[1]], strict=False)
    except ValueError:
        return None
    return value


def _number(value: object) -> int | None:
    if isinstance(value, str):
        digits = value.removeprefix("0x")
        if digits != value and re.fullmatch(r"[0-9a-fA-F]{1,16}", digits):
            return int(digits, 16)
        return int(value) if re.fullmatch(r"[0-9]{1,20}", value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _frame_text(text: str, frame: _Object, end: int, answer: Frame) -> str:
    values: dict[str, object] = {
        "function": answer.function,
        "filename": answer.file,
        "abs_path": answer.file,
        "lineno": answer.line,
        "colno": answer.column,
    }
    edits: list[_Edit] = []
    more = ""
    for key, value in values.items():
        if value is None:
            continue
        if key in frame.members:
            edits.append((*frame.members[key], json.dumps(value)))
        else:
            more += f", {json.dumps(key)}: {json.dumps(value)}"
    # After the address, which is always there, so that it does not matter what the object ends with.
    after = frame.members["instruction_addr"][1]
    return _edited(text, frame.start, end, [*edits, (after, after, more)])
