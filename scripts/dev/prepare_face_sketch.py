"""Face photos and artists' sketches -> a pix2pix dataset that also knows a mouse drawing.

Each photo is framed by its eyes, put before one plain backdrop and paired with several drawings
of it: the artist's sketch as it was scanned and cleaned, lines filtered or traced from the photo,
and stick faces built from landmarks exactly where the photo's features are. In three of ten pairs
the head is smaller and elsewhere. Two steps, the first in an environment of its own with mediapipe
0.10.14 and numpy 1:

    prepare_face_sketch.py --cuhk DIR --fs2k DIR --faces faces.csv --find-landmarks faces.json
    prepare_face_sketch.py --cuhk DIR --fs2k DIR --faces faces.csv --landmarks faces.json --out DIR

DIR of CUHK holds photos/, sketches/ and split.csv (photo,sketch,split); DIR of FS2K holds
{train,val}/{photo,sketch}/ with equal stems; faces.csv (file,source,split) lists photos without
sketches in the folder faces/ beside it. The output is A|B strips: photo left, drawing right.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from prepare_faces.drawings import Artist, kinds_of
from prepare_faces.features import has_dark_skin
from prepare_faces.framing import BACKDROP, open_face
from prepare_faces.photos import Photo, Refused, find_landmarks, find_photos, mask_folder

from pix2pix.utils.files import atomic_folder, write_json
from scripts.command import answer, command
from scripts.examples.faces import EYE_GAP, EYE_LINE

SPLITS = ("train", "val")
COUNTS = {"cuhk": 12}  # drawings of one photo for training; of those of other sets OTHERS
OTHERS = 6
MORE_OF_DARK_SKIN = 3  # times as many drawings: few of the people in the photos have it


def draw_photo(
    work: tuple[Photo, dict | None], folder: Path, masks: Path, size: int, seed: int, share: float
) -> tuple[int, str]:
    """Write all pairs of one photo; (their number, why there are none)."""
    photo, marks = work
    # Seeded by name: one more or one less file leaves the other drawings as they are.
    rng = np.random.default_rng([seed, zlib.crc32(photo.name.encode())])
    try:
        if not marks:
            raise Refused("no face was found")
        artist = Artist(open_face(photo, marks, masks / f"{photo.name}.png", size), rng)
    except (Refused, OSError) as error:
        return 0, str(error)
    count = max(1, round(share * COUNTS.get(photo.group, OTHERS)))
    if photo.split == "train" and has_dark_skin(artist.guide.photo, artist.points["oval"]):
        count *= MORE_OF_DARK_SKIN
    kinds = kinds_of(photo.sketch is not None, photo.split, count, rng)
    for number, kind in enumerate(kinds):
        tag = f"{number:02}-{kind}" if photo.split == "train" else kind
        picture, drawing = artist.pair(kind, moves=photo.split == "train")
        save_strip(folder / photo.split / f"{photo.name}-{tag}.jpg", picture, drawing)
    return len(kinds), ""


def save_strip(path: Path, photo: np.ndarray, drawing: Image.Image) -> None:
    size = len(photo)
    strip = Image.new("RGB", (2 * size, size))
    strip.paste(Image.fromarray(photo), (0, 0))
    strip.paste(drawing, (size, 0))
    strip.save(path, quality=95, subsampling=0)


def build(args: argparse.Namespace, photos: list[Photo], refused: list[dict]) -> dict:
    """Write every strip and dataset.json; return the summary. Raises UserError where the folder is
    taken or the disk is full."""
    marks = json.loads(args.landmarks.read_text(encoding="utf-8"))
    counts: Counter = Counter()
    kept: Counter = Counter()
    with atomic_folder(args.out) as folder, ProcessPoolExecutor(args.jobs) as pool:
        for split in SPLITS:
            (folder / split).mkdir()
        one = functools.partial(
            draw_photo, folder=folder, masks=mask_folder(args.landmarks), size=args.size,
            seed=args.seed, share=args.share,
        )  # fmt: skip
        work = [(photo, marks.get(photo.name)) for photo in photos]
        for photo, (count, reason) in zip(photos, pool.map(one, work, chunksize=8)):
            if reason:
                refused.append({"file": photo.photo.name, "reason": reason})
            else:
                counts[photo.split] += count
                kept[f"{photo.group} {photo.split}"] += 1
        summary = {
            "counts": {"pairs": counts.total(), **{k: counts[k] for k in SPLITS}, "test": 0},
            "photos": dict(sorted(kept.items())),
            "refused": refused,
        }
        info = {
            "format_version": 1,
            "source_name": "photo",
            "target_name": "sketch",
            "label_maps": [False, False],
            "size": args.size,
            "seed": args.seed,
            "frame": {"eye_line": EYE_LINE, "eye_gap": EYE_GAP, "backdrop": list(BACKDROP)},
        }
        write_json(folder / "dataset.json", {**info, **summary})
    return summary


@command(stopped="Stopped: nothing was written.")
def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    photos, refused = find_photos(args.cuhk, args.fs2k, args.faces, args.limit)
    if args.find_landmarks:
        found = find_landmarks(photos, args.find_landmarks)
        return answer({"photos": len(photos), "faces": found}, well=found == len(photos))
    return answer(build(args, photos, refused))


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cuhk", type=Path, help="folder with photos/, sketches/, split.csv")
    add("--fs2k", type=Path, help="folder with {train,val}/{photo,sketch}/")
    add("--faces", type=Path, metavar="CSV", help="table of photos, in a folder of its name")
    add("--find-landmarks", type=Path, metavar="FILE", help="write this and stop")
    add("--landmarks", type=Path, metavar="FILE", help="made by --find-landmarks")
    add("--out", type=Path, help="the dataset's folder, made when all is done")
    add("--size", type=int, default=256)
    add("--share", type=float, default=1.0, help="of the drawings: 12 of a CUHK photo, else 5")
    add("--seed", type=int, default=0)
    add("--jobs", type=int, help="processes (default: as many as cores)")
    add("--limit", type=int, help="at most this many photos of each set and split")
    args = parser.parse_args(argv)
    if not (args.cuhk or args.fs2k or args.faces):
        parser.error("give --cuhk, --fs2k or --faces")
    if not args.find_landmarks and not (args.landmarks and args.out):
        parser.error("give --find-landmarks FILE, or --landmarks FILE and --out DIR")
    if args.size < 64 or args.size > 1024:
        parser.error("--size must be between 64 and 1024")
    for needed in (
        args.cuhk and args.cuhk / "split.csv",
        args.fs2k and args.fs2k / "train",
        args.faces,
        args.landmarks,
    ):
        if needed and not needed.exists():
            parser.error(f"{needed} does not exist")
    return args


if __name__ == "__main__":
    raise SystemExit(main())
