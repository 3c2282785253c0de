"""The size of the frames in the sequence parameter set of an H.264 stream (ITU-T H.264, 7.3.2.1.1)."""

WITH_CHROMA_FORMAT = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # profiles
CHROMA_UNITS = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}  # (x, y) in which crops are counted

MAX_BYTES = 1000  # of a set; damaged ones may go on for ever


def sps_size(unit: memoryview) -> tuple[int, int] | None:
    """Return the (width, height) of the frames, cropped; None where the unit ends before that."""
    bits = Bits(bytes(unit[1:MAX_BYTES]).replace(b"\0\0\3", b"\0\0"))
    try:
        return _size(bits)
    except EOFError:
        return None


class Bits:
    """Reads numbers from bits; raises EOFError at the end."""

    def __init__(self, data: bytes):
        self._left = 8 * len(data)
        self._value = int.from_bytes(data, "big")

    def fixed(self, width: int) -> int:
        self._left -= width
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & (1 << width) - 1

    def unsigned(self) -> int:
        """An Exp-Golomb number."""
        zeros = 0
        while not self.fixed(1):
            zeros += 1
        return (1 << zeros) - 1 + self.fixed(zeros)

    def skip(self, count: int) -> None:
        """Skip Exp-Golomb numbers; signed ones have the same length."""
        for _ in range(count):
            self.unsigned()


def _size(bits: Bits) -> tuple[int, int]:
    profile = bits.fixed(8)
    bits.fixed(16)  # constraints, level
    bits.skip(1)  # the set's number
    chroma = _chroma(bits) if profile in WITH_CHROMA_FORMAT else 1
    bits.skip(1)  # the length of frame numbers
    _skip_order(bits)
    bits.skip(1)  # the number of reference frames
    bits.fixed(1)
    width, height = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    fields = 1 if bits.fixed(1) else 2
    bits.fixed(1 if fields == 1 else 2)
    left, right, top, bottom = [bits.unsigned() for _ in range(4)] if bits.fixed(1) else [0] * 4
    x, y = CHROMA_UNITS[chroma]
    return width - x * (left + right), fields * (height - y * (top + bottom))


def _chroma(bits: Bits) -> int:
    chroma = bits.unsigned()
    if chroma not in CHROMA_UNITS:
        raise EOFError
    separate = chroma == 3 and bits.fixed(1)
    bits.skip(2)  # depths
    bits.fixed(1)
    if bits.fixed(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.fixed(1):
                _skip_scaling(bits, 16 if number < 6 else 64)
    return 0 if separate else chroma


def _skip_scaling(bits: Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            code = bits.unsigned()
            following = (last + (code + 1 >> 1) * (1 if code & 1 else -1)) % 256
        last = following or last


def _skip_order(bits: Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.skip(1)
    if kind == 1:
        bits.fixed(1)
        bits.skip(2)
        bits.skip(bits.unsigned())
