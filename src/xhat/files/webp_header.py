"""What a lossy WebP says about its own compression: how coarsely its coefficients are rounded.

Its pixels are a key frame of VP8 (RFC 6386), whose header is read bit by bit by a decoder of even odds (sections 7, 9
and 19.2). A coefficient of its transform of 4x4 pixels is twice that of an orthonormal one.
"""

from pathlib import Path

RIFF, START = 12, b"\x9d\x01\x2a"
# Steps of the alternating coefficients by index (RFC 6386, section 14.1): each run goes on by its difference.
RUNS = ((4, 1, 55), (60, 2, 29), (119, 3, 19), (177, 4, 14), (234, 5, 2), (245, 4, 1), (249, 5, 8))
STEPS = tuple(first + i * by for first, by, count in RUNS for i in range(count))


class _Bits:
    """Bits of even odds of an arithmetic code (RFC 6386, section 7.3)."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.value, self.range, self.left = data, 2, int.from_bytes(data[:2], "big"), 255, 0

    def bit(self) -> int:
        split = 1 + (self.range - 1) // 2
        if found := self.value >= split << 8:
            self.value, self.range = self.value - (split << 8), self.range - split
        else:
            self.range = split
        while self.range < 128:
            self.value, self.range, self.left = self.value << 1, self.range << 1, self.left + 1
            if self.left == 8:
                self.left = 0
                self.value |= self.data[self.at] if self.at < len(self.data) else 0
                self.at += 1
        return int(found)

    def number(self, bits: int) -> int:
        n = 0
        for _ in range(bits):
            n = 2 * n + self.bit()
        return n

    def signed(self, bits: int) -> int:
        n = self.number(bits)
        return -n if self.bit() else n


def webp_loss(path: str | Path) -> float | None:
    """The error's standard deviation that rounding causes at most, in grey levels; None if it is no lossy WebP."""
    with Path(path).open("rb") as file:
        head = file.read(RIFF)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            return None
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"VP8 ":
                frame = file.read(min(size, 1024))
                return _loss(frame[10:]) if frame[3:6] == START and not frame[0] & 1 else None
            file.seek(size + size % 2, 1)
    return None


def _loss(data: bytes) -> float:
    """That of a key frame whose first partition is `data`: of its coarsest segment."""
    bits = _Bits(data)
    bits.number(2)  # colours, clamping
    own: list[int] = []
    absolute = 0
    if bits.bit():  # segments
        mapped = bits.bit()
        if bits.bit():
            absolute = bits.bit()
            own = [bits.signed(7) if bits.bit() else 0 for _ in range(4)]
            for _ in range(4):
                if bits.bit():
                    bits.signed(6)
        if mapped:
            for _ in range(3):
                if bits.bit():
                    bits.number(8)
    bits.number(10)  # filter: its kind, level and sharpness
    if bits.bit() and bits.bit():
        for _ in range(8):
            if bits.bit():
                bits.signed(6)
    bits.number(2)  # partitions
    base = bits.number(7)
    index = max([n if absolute else base + n for n in own] or [base])
    return float(STEPS[min(max(index, 0), len(STEPS) - 1)] / 2 / 12**0.5)
