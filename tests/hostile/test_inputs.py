"""Raw data from strangers: pictures that explode, files that pretend, names that try to be paths, options or markup.

Each folder goes through the whole prepare job. It ends in a dataset without the bad file, or in one error that names it;
nothing is written outside, nothing runs, and memory stays bounded.
"""

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gencontract.report import Report
from gencontract.task import PrepareTask
from gentrainers.data import open_dataset
from gentrainers.jobs.prepare import run
from gentrainers.pod import Lines, Pod


def prepare(output: Path, folder: Path, kind: str, **fields: Any) -> Report:
    """Run the job on a folder."""
    source = {"kind": "path", "path": str(folder)}
    task = {"source": source, "format": kind, "output": str(output), **fields}
    return run(PrepareTask.model_validate(task), Pod(Lines(io.StringIO())))


def honest(folder: Path, n: int = 24) -> Path:
    """Write some pictures that are what they say."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, data: bytes = b"") -> bytes:
    """A PNG that claims a size, with chunks of our own."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def text_bomb(kind: bytes) -> bytes:
    """A compressed text or profile of 256 MiB in a PNG of one pixel."""
    packed = zlib.compress(b"\0" * (256 << 20), 1)
    body = {b"zTXt": b"a\0\0" + packed, b"iTXt": b"a\0\1\0\0\0" + packed, b"iCCP": b"a\0\0" + packed}[kind]
    return png(1, 1, chunk(kind, body), data=b"\0\1\2\3")


def gif(width: int, height: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0" * 6
    return screen + b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\2\2L\1\0;"


def tiff(width: int, height: int, strip: int) -> bytes:
    """A TIFF whose only strip is said to lie at a place and be as large as the picture."""
    tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, strip),
        (277, 1),
        (278, height),
        (279, width * height),
    ]
    listed = b"".join(struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + listed + struct.pack("<I", 0)


def saved(kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(out, kind, **how)
    return out.getvalue()


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/><script>alert(1)</script></svg>"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(touch it-ran) system\n%%EOF\n"
PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "65535 x 65535 in 60 bytes": ("a.png", lambda: png(65535, 65535)),
    "2**31 - 1 wide": ("a.png", lambda: png(2**31 - 1, 1)),
    "no pixels wide": ("a.png", lambda: png(0, 8)),
    "zeros of 100 million pixels": ("a.png", lambda: png(10_000, 10_000, data=b"\0" * 300_010_000)),
    "text of 256 MiB": ("a.png", lambda: text_bomb(b"zTXt")),
    "international text of 256 MiB": ("a.png", lambda: text_bomb(b"iTXt")),
    "colour profile of 256 MiB": ("a.png", lambda: text_bomb(b"iCCP")),
    "a chunk longer than the file": ("a.png", lambda: b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR"),
    "GIF of 65535 x 65535": ("a.gif", lambda: gif(65535, 65535)),
    "TIFF of 4 Gpixels": ("a.tif", lambda: tiff(65535, 65535, 8)),
    "TIFF strip before the file": ("a.tif", lambda: tiff(8, 8, -64)),
    "TIFF directory that points at itself": ("a.tif", lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
    "JPEG cut off": ("a.jpg", lambda: saved("JPEG")[:200]),
    "WebP that lies about its size": ("a.webp", lambda: saved("WEBP")[:4] + b"\xff" * 4 + saved("WEBP")[8:40]),
    "BMP with a negative height": ("a.bmp", lambda: saved("BMP")[:22] + struct.pack("<i", -(2**31)) + saved("BMP")[26:]),
    "PPM of 10**9 pixels": ("a.ppm", lambda: b"P6 31623 31623 255\n"),
    "SVG with a script": ("a.png", lambda: SVG),
    "PostScript": ("a.png", lambda: EPS),
    "PostScript named JPEG": ("a.jpg", lambda: EPS),
    "PDF": ("a.png", lambda: saved("PDF")),
    "icon": ("a.png", lambda: saved("ICO")),
    "HTML": ("a.png", lambda: b"<html><img src=x onerror=alert(1)>"),
    "pickle": ("a.png", lambda: b"cos\nsystem\n(S'touch it-ran'\ntR."),
    "nothing": ("a.png", lambda: b""),
}  # fmt: skip


@pytest.mark.parametrize(("name", "make"), PICTURES.values(), ids=PICTURES)
def test_a_hostile_picture_is_left_out_and_the_rest_stays(
    name: str, make: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = honest(tmp_path / "in")
    (folder / name).write_bytes(make())
    decodable = [{"name": "readable", "kind": "decodable", "threshold": 0.5}]
    report = prepare(tmp_path / "out", folder, "images", options={"size": 8}, checks=decodable)
    assert report.samples == 24
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.slow
def test_hostile_pictures_take_little_memory(tmp_path: Path) -> None:
    """All of them in a process of its own, which may not take what even one of them would unpack to."""
    folder = honest(tmp_path / "in", 4)
    for number, (name, make) in enumerate(PICTURES.values()):
        (folder / f"{number}-{name}").write_bytes(make())
    code = (
        "import sys; from pathlib import Path; from gentrainers.data.formats.images import Images;"
        "from gentrainers.data.sample import Blob, Reject\n"
        "format_ = Images({'size': 8})\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: list(format_.read(Blob(path.name, path)))\n"
        "    except Reject: pass\n"
        # Not ru_maxrss, which begins with what the parent had when it forked.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 200 * 1024  # KiB


HOSTILE_NAMES = [
    "--checkpoint-action=exec=sh",
    "-rf *",
    "$(touch it-ran).png",
    "`touch it-ran`.png",
    "a;touch it-ran;.png",
    "<img src=x onerror=alert(1)>.png",
    "<script>alert(1)<",
    "=cmd|' ⁄C calc'!A0.png",
    "{{7*7}}{% raw %}.png",
    "%s%n%x.png",
    "..png",
    "con.png",
    "a\nb.png",
    "a\rb\x1b[31m.png",
    "\u202egnp.exe.png",
    "e\u0301.png",
    "n" * 251 + ".png",
    " .png",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_hostile_name_is_a_name_and_nothing_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = honest(tmp_path / "in" / "cats", 6).parent
    honest(folder / name, 5)  # the folder's name is the class of what is in it
    (folder / "cats" / "5.png").rename(folder / "cats" / name)
    prepare(tmp_path / "out", folder, "images", options={"size": 8})
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")}
    assert not {w for w in written if "touch" in w or "script" in w or name in w}
    assert not (tmp_path / "it-ran").exists()
    for page in (tmp_path / "out").glob("*.html"):
        assert "<script" not in page.read_text()
        assert "onerror" not in page.read_text().replace("&lt;img src=x onerror", "")


def test_a_name_that_is_no_text_is_shown_as_bytes(tmp_path: Path) -> None:
    """Linux lets a name be any bytes; the picture behind it is a picture."""
    folder = honest(tmp_path / "in", 6)
    os.rename(folder / "0.png", os.fsencode(folder) + b"/\xff\xfe.png")
    assert prepare(tmp_path / "out", folder, "images", options={"size": 8}).samples == 6


FORMULAS = [
    "=1+1",
    "+1",
    "@SUM(A1)",
    "-2+3+cmd|' /C calc'!A0",
    '=HYPERLINK("http://x.invalid","y")',
    "\t=1",
    "<b>x</b>",
]


def test_formulas_stay_text_and_no_page_takes_them_for_markup(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rows = "\n".join(f'"{f.replace(chr(34), chr(34) * 2)}",{i}' for i, f in enumerate(FORMULAS * 8))
    (folder / "table.csv").write_text(f"word,number\n{rows}\n")
    prepare(tmp_path / "out", folder, "tabular")
    assert list((tmp_path / "out").rglob("*.csv")) == []
    assert "<b>x</b>" not in (tmp_path / "out" / "card.html").read_text()
    assert open_dataset(str(tmp_path / "out")).split("train").samples
