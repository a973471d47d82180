"""Read the frames of a video, and write a video of changed frames. PyAV is loaded when it is used.

Frames are as people see them: upright, in square pixels, in 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.picture import MAX_PIXELS
from pix2pix.utils.files import write_atomically
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import printable

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts")
)
# A playlist under a video's name would have files and addresses of this machine opened.
_OPTIONS = {"format_whitelist": "mov,matroska,webm,avi,mpeg,mpegts", "protocol_whitelist": "file"}
# What browsers play, best first, each with its options for pictures without visible loss.
_ENCODERS = {
    "libx264": {"crf": "18"},
    "libopenh264": {"b": "8M"},
    "libvpx-vp9": {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"},
}
_COPIED_SOUND = ("aac", "mp3", "opus")  # what browsers play in an MP4; other sound becomes AAC
_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180}
_TURNS[270] = Image.Transpose.ROTATE_270
_HD = 720  # rows from which a video that does not say so has the colours of HD
_UNSAID, _BT709, _LIMITED = 2, 1, 1  # FFmpeg's numbers of colours
_HDR = (16, 18)  # transfer curves: PQ and HLG


def import_av() -> Any:
    """Return PyAV; a UserError says how to get it."""
    try:
        import av
    except ImportError as error:
        raise UserError(
            "Videos are read by PyAV, which is not installed: pip install av==17.1.0, or the "
            "extra video."
        ) from error
    return av


def is_video(file: Path) -> bool:
    return file.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class Clip:
    """A video: its size as people see it, by how much it is turned (degrees, counterclockwise), its
    average frames a second, and how many there are (0: unknown; it may be off)."""

    file: Path
    size: tuple[int, int]
    turn: int
    rate: Fraction
    frames: int
    is_hdr: bool = False

    @property
    def name(self) -> str:
        return printable(self.file.name)

    def picture(self, frame: Any) -> Image.Image:
        """Make the RGB picture that a frame shows."""
        hd = frame.colorspace == _UNSAID and frame.height >= _HD and not frame.format.is_rgb
        width, height = self.size if self.turn % 180 == 0 else self.size[::-1]
        image = frame.to_image(
            width=width, height=height, interpolation="BICUBIC",
            src_colorspace="ITU709" if hd else None,
        )  # fmt: skip
        return image.transpose(_TURNS[self.turn]) if self.turn else image

    def check_length(self, frames: int, most: int | None) -> None:
        """Raise UserError for more frames than are taken."""
        if most is not None and frames > most:
            raise UserError(f"{self.name} has more than the {most:,} frames that fit: cut it.")


def open_clip(file: Path, max_pixels: int = MAX_PIXELS, max_frames: int | None = None) -> Clip:
    """Look at a video and its first frame. Raises UserError where it cannot be read, and for more
    pixels, or frames, than these."""
    with _opened(file) as (container, stream):
        first = next(_read(file, container, stream), None)
        if first is None:
            raise UserError(f"{printable(file.name)} holds no frame: choose another video.")
        rate = stream.average_rate or stream.base_rate or Fraction(25)
        seconds = (stream.duration or 0) * (stream.time_base or 0)
        seconds = seconds or Fraction(container.duration or 0, 1_000_000)
        size, shape = (first.width, first.height), stream.sample_aspect_ratio
        if shape not in (None, 0, 1):
            size = 2 * max(1, round(first.width * shape / 2)), first.height
        turn = round(first.rotation / 90) % 4 * 90
        size = size if turn % 180 == 0 else size[::-1]
        frames, hdr = stream.frames or round(seconds * rate), first.color_trc in _HDR
    clip = Clip(file, size, turn, rate, frames, hdr)
    if size[0] * size[1] > max_pixels:
        raise UserError(f"{clip.name} has more than {max_pixels:,} pixels a frame: shrink it.")
    clip.check_length(frames, max_frames)
    return clip


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video for reading; also gives its stream of pictures."""
    av = import_av()
    with _read_errors(file):
        container = av.open(str(file.absolute()), options=_OPTIONS)
    with container:
        stream = container.streams.best("video")
        if stream is None:
            raise UserError(f"{printable(file.name)} holds no video: choose another.")
        stream.thread_type = "AUTO"
        yield container, stream


def _read(file: Path, container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the frames of the pictures, and the packets of the sound."""
    with _read_errors(file):
        for packet in container.demux(*streams):
            if packet.stream.type == "video":
                yield from packet.decode()
            else:
                yield packet


@contextmanager
def _read_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (import_av().error.FFmpegError, OSError) as error:
        raise UserError(
            f"{printable(file.name)} is no video that can be read, or is damaged: save it as MP4 "
            "again."
        ) from error


def read_frames(clip: Clip, every: int = 1) -> Iterator[tuple[int, Image.Image | None]]:
    """Yield (number, picture) of all frames, from 0; all but every so many have no picture."""
    with _opened(clip.file) as (container, stream):
        for number, frame in enumerate(_read(clip.file, container, stream)):
            yield number, None if number % every else clip.picture(frame)


def change_frames(
    clip: Clip,
    out: Path,
    change: Callable[[Image.Image], Image.Image],
    *,
    max_frames: int | None = None,
    on_progress: Progress = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> tuple[int, list[str]]:
    """Write an MP4 whose frames are those of `clip` after `change`, at their times, with its
    sound; returns how many there are, and remarks. It appears when it is complete, and memory
    holds a few frames.

    `on_progress` hears frames. Raises UserError, also for more than `max_frames`, and Cancelled.
    """
    av, done = import_av(), 0
    remarks = [f"{clip.name} is HDR, and its colours come out pale: make it SDR."] * clip.is_hdr

    def write(partial: Path) -> None:
        nonlocal done
        container = av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"})
        with container as made, _opened(clip.file) as (source, stream):
            start = Fraction(max(0, source.start_time or 0), 1_000_000)  # seconds
            heard = source.streams.best("audio")
            pictures = _Pictures(made, clip, stream, start, remarks)
            sound = _Sound(made, clip, heard, start, remarks) if heard else None
            for part in _read(clip.file, source, *filter(None, (stream, heard))):
                if isinstance(part, av.Packet):
                    sound.write(part)
                    continue
                if should_stop():
                    raise Cancelled
                done += 1
                clip.check_length(done, max_frames)
                pictures.write(change(clip.picture(part)), part.pts)
                on_progress(done, max(done + 1, clip.frames))
            made.mux(pictures.stream.encode())
            if sound and not sound.copied:
                made.mux(sound.stream.encode())
        on_progress(done, done)

    try:
        write_atomically(out, write)
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{printable(out.name)} could not be saved: {error.strerror}.") from error
    return done, remarks


class _Pictures:
    """The pictures of a video that is written, the first of which may come `start` s late."""

    def __init__(
        self, made: Any, clip: Clip, source: Any, start: Fraction, remarks: list[str]
    ) -> None:
        encoder = next((n for n in _ENCODERS if n in import_av().codecs_available), None)
        if encoder is None:
            raise UserError("This PyAV writes no video that browsers play: pip install av==17.1.0.")
        self.made, self.time_base, self.last = made, source.time_base, -1
        self.start, self.step = (round(s / self.time_base) for s in (start, 1 / clip.rate))
        self.size = tuple(side + side % 2 for side in clip.size)  # colours are of 2 x 2 pixels
        self.stream = made.add_stream(encoder, rate=clip.rate, options=_ENCODERS[encoder])
        context = self.stream.codec_context
        context.width, context.height, context.pix_fmt = *self.size, "yuv420p"
        context.time_base = self.time_base
        context.color_range, context.colorspace = _LIMITED, _BT709
        context.color_primaries = context.color_trc = _BT709
        if self.size != clip.size:
            remarks.append(
                f"{clip.name} becomes {self.size[0]} x {self.size[1]}: videos have even sides, so "
                "the last pixels are there twice."
            )
        if encoder == "libvpx-vp9":
            remarks.append(f"{clip.name} becomes VP9: this PyAV has no encoder of H.264.")

    def write(self, image: Image.Image, time: int | None) -> None:
        more = [(0, self.size[1] - image.height), (0, self.size[0] - image.width), (0, 0)]
        pixels = np.pad(np.asarray(image.convert("RGB")), more, "edge")
        frame = import_av().VideoFrame.from_ndarray(pixels, "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        # A frame without a time follows the one before.
        time = self.last + self.step if time is None else time - self.start
        self.last = frame.pts = max(time, self.last + 1)
        frame.time_base = self.time_base
        self.made.mux(self.stream.encode(frame))


class _Sound:
    """The sound of a video that is written: that of the source, as it is where MP4 takes it."""

    def __init__(
        self, made: Any, clip: Clip, source: Any, start: Fraction, remarks: list[str]
    ) -> None:
        kind = source.codec_context.codec.canonical_name
        self.made, self.clip, self.copied = made, clip, kind in _COPIED_SOUND
        self.start = round(start / source.time_base)
        if self.copied:
            self.stream = made.add_stream_from_template(source)
            return
        self.stream = made.add_stream("aac", rate=min(source.rate, 48_000))
        self.stream.layout = "mono" if source.channels == 1 else "stereo"
        remarks.append(f"The sound of {clip.name} ({kind}) becomes AAC, which browsers play.")

    def write(self, packet: Any) -> None:
        if not self.copied:
            with _read_errors(self.clip.file):
                frames = packet.decode()
            for frame in frames:
                time = (frame.pts - self.start) * frame.time_base
                frame.time_base = Fraction(1, frame.sample_rate)
                frame.pts = round(time * frame.sample_rate)
                self.made.mux(self.stream.encode(frame))
        elif packet.dts is not None:  # the last packet of a stream is empty
            packet.pts, packet.dts = packet.pts - self.start, packet.dts - self.start
            packet.stream = self.stream
            self.made.mux(packet)
