"""Map tiles, MBTiles and GeoTIFFs: no seam at borders, and the same place on Earth."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.rasters import Raster, is_geotiff
from pix2pix.models.batch import list_jobs, refuse_overwriting, run_job
from pix2pix.models.translator import Translator
from tests.support.drawn_pairs import drawn_pair
from tests.support.models_and_servers import noise, translator

SIDE, TILE = 8, 64  # tiles a side, pixels of a tile
ZOOM, X, Y = 5, 10, 7  # of the north-western tile


@pytest.fixture(scope="module")
def painter() -> Translator:
    return translator(fit="tiles")


@pytest.fixture(scope="module")
def large() -> Image.Image:
    return drawn_pair(3, SIDE * TILE, SIDE * TILE)[1]


@pytest.fixture(scope="module")
def answer(painter: Translator, large: Image.Image) -> np.ndarray:
    return np.asarray(painter.translate(large), int)


def tiles_of(picture: Image.Image) -> dict[tuple[int, int], Image.Image]:
    return {
        (x, y): picture.crop((x * TILE, y * TILE, (x + 1) * TILE, (y + 1) * TILE))
        for x in range(SIDE)
        for y in range(SIDE)
    }


def write_tree(folder: Path, picture: Image.Image, south_first: bool = False) -> Path:
    for (x, y), tile in tiles_of(picture).items():
        row = 2**ZOOM - 1 - (Y + y) if south_first else Y + y
        file = folder / str(ZOOM) / str(X + x) / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        tile.save(file)
    return folder


def translate(painter: Translator, item: Path, out: Path) -> list[Any]:
    return [run_job(painter, job, out) for job in list_jobs([item])]


def mosaic(folder: Path, south_first: bool = False) -> np.ndarray:
    made = Image.new("RGB", (SIDE * TILE, SIDE * TILE))
    for x in range(SIDE):
        for y in range(SIDE):
            row = 2**ZOOM - 1 - (Y + y) if south_first else Y + y
            tile = Image.open(folder / str(ZOOM) / str(X + x) / f"{row}.png")
            made.paste(tile, (x * TILE, y * TILE))
    return np.asarray(made, int)


def border_step(made: np.ndarray, answer: np.ndarray) -> float:
    """The mean difference in the pixels on both sides of every border between tiles."""
    places = [p + d for p in range(TILE, SIDE * TILE, TILE) for d in (-1, 0)]
    off = np.abs(made - answer)
    return float(np.mean([off[places].mean(), off[:, places].mean()]))


@pytest.mark.parametrize("south_first", [False, True], ids=["z/x/y", "rows from the south"])
def test_tiles_of_a_large_picture_have_no_seams(
    painter: Translator, large: Image.Image, answer: np.ndarray, tmp_path: Path, south_first: bool
) -> None:
    folder = write_tree(tmp_path / "in", large, south_first)
    (outcome,) = translate(painter, folder, tmp_path / "out")
    assert outcome.translated == 64 and not outcome.refused
    made = mosaic(tmp_path / "out", south_first)
    assert border_step(made, answer) == 0.0  # they are the large picture's own windows
    alone = np.zeros_like(made)
    for (x, y), tile in tiles_of(large).items():
        box = np.s_[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
        alone[box] = np.asarray(painter.translate(tile), int)
    assert border_step(alone, answer) > 4  # each alone has seams


def test_holes_are_mirrored_and_bad_tiles_are_refused(
    painter: Translator, large: Image.Image, answer: np.ndarray, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "in" / "city", large)
    tile = f"{ZOOM}/{X + 3}/{Y + 3}.png"
    (folder / tile).unlink()
    (folder / f"{ZOOM}/{X}/{Y + 7}.png").write_bytes(b"no picture")
    noise(40, 30).save(folder / "legend.png")
    noise(TILE, TILE).save(folder / f"{ZOOM}/{X}/{Y + 20}.png")  # an island
    outcomes = translate(painter, tmp_path / "in", tmp_path / "out")
    assert [outcome.translated for outcome in outcomes] == [63, 1]
    ((name, reason),) = outcomes[0].refused
    assert name.endswith(f"{Y + 7}.png") and "no image" in reason
    made = {p.relative_to(tmp_path / "out" / "city").as_posix()
        for p in (tmp_path / "out").rglob("*.png")}  # fmt: skip
    assert tile not in made and {"legend.png", f"{ZOOM}/{X}/{Y + 20}.png"} <= made
    far = np.asarray(Image.open(tmp_path / "out" / "city" / f"{ZOOM}/{X + 6}/{Y}.png"), int)
    assert np.abs(far - answer[:TILE, 6 * TILE : 7 * TILE]).max() == 0
    beside = np.asarray(Image.open(tmp_path / "out" / "city" / f"{ZOOM}/{X + 2}/{Y + 3}.png"), int)
    expected = answer[3 * TILE : 4 * TILE, 2 * TILE : 3 * TILE]
    assert np.abs(beside - expected)[:, : TILE // 4].mean() < 20  # and away from the hole alike


def test_transparency_stays_where_it_was(painter: Translator, tmp_path: Path) -> None:
    picture = noise(2 * TILE, 2 * TILE)
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    for x in range(2):
        for y in range(2):
            (tmp_path / "in" / "3" / str(x)).mkdir(parents=True, exist_ok=True)
            box = (x * TILE, y * TILE, (x + 1) * TILE, (y + 1) * TILE)
            picture.crop(box).save(tmp_path / "in" / "3" / str(x) / f"{y}.png")
    translate(painter, tmp_path / "in", tmp_path / "out")
    made = Image.open(tmp_path / "out" / "3" / "1" / "1.png")
    assert made.getchannel("A").tobytes() == picture.crop(box).getchannel("A").tobytes()


def test_mbtiles_come_back_as_mbtiles(
    painter: Translator, large: Image.Image, answer: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "city.mbtiles"
    with contextlib.closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE metadata (name text, value text)")
        about = {"name": "City", "format": "jpg", "bounds": "1,2,3,4"}
        made.executemany("INSERT INTO metadata VALUES (?, ?)", about.items())
        made.execute("CREATE TABLE images (id integer, data blob)")
        made.execute("CREATE TABLE map (zoom_level, tile_column, tile_row, id)")
        for number, ((x, y), tile) in enumerate(tiles_of(large).items()):
            buffer = io.BytesIO()
            tile.save(buffer, "PNG")
            made.execute("INSERT INTO images VALUES (?, ?)", (number, buffer.getvalue()))
            place = (ZOOM, X + x, 2**ZOOM - 1 - (Y + y), number)
            made.execute("INSERT INTO map VALUES (?, ?, ?, ?)", place)
        made.execute("CREATE VIEW tiles AS SELECT zoom_level, tile_column, tile_row, data AS "
            "tile_data FROM map JOIN images USING (id)")  # fmt: skip
        made.commit()
    (outcome,) = translate(painter, file, tmp_path / "out")
    assert outcome.translated == 64
    with contextlib.closing(sqlite3.connect(tmp_path / "out" / "city.mbtiles")) as opened:
        found = opened.execute("SELECT * FROM tiles").fetchall()
        assert dict(opened.execute("SELECT * FROM metadata")) == about | {"format": "png"}
    for zoom, x, row, data in found:
        left, top = (x - X) * TILE, (2**ZOOM - 1 - row - Y) * TILE
        tile = np.asarray(Image.open(io.BytesIO(data)), int)
        assert zoom == ZOOM and (tile == answer[top : top + TILE, left : left + TILE]).all()
    assert len(found) == 64
    (tmp_path / "bad.mbtiles").write_bytes(b"no database at all, but long enough to look like one")
    with pytest.raises(UserError, match="no MBTiles file"):
        translate(painter, tmp_path / "bad.mbtiles", tmp_path / "bad")
    assert not [*(tmp_path / "bad").iterdir()]


@pytest.mark.parametrize("key", [("5", 0, "x"), (None, 0, 0), (-1, 0, 0), (10**9, 0, 0), (3, 8, 0)])
def test_a_tile_at_no_place_on_a_map_is_refused(
    key: tuple[object, ...], painter: Translator, tmp_path: Path
) -> None:
    file = tmp_path / "odd.mbtiles"
    with contextlib.closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE metadata (name, value)")
        made.execute("CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data)")
        made.execute("INSERT INTO tiles VALUES (?, ?, ?, NULL)", key)
        made.commit()
    with pytest.raises(UserError, match="no place on a map"):
        translate(painter, file, tmp_path / "out")


# ------------------------------------------------------------------------------- folders and places


def test_a_folder_comes_back_as_the_same_tree_with_its_world_files(
    painter: Translator, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    days = [f"24/5/{day}.png" for day in range(1, 6)]  # by year and month, and no squares
    for name in ("a/b/one.jpg", "a/two.png", "three.png", *days, ".hidden/no.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        noise(40, 30).save(source / name)
    for name in ("a/b/one.jgw", "a/b/one.prj", "three.pgw"):
        (source / name).write_text(name)
    translate(painter, source, tmp_path / "out")
    made = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    pictures = {"a/b/one.png", "a/two.png", "three.png", *days}
    assert made == pictures | {"a/b/one.pgw", "a/b/one.prj", "three.pgw"}
    assert (tmp_path / "out" / "a/b/one.pgw").read_text() == "a/b/one.jgw"
    noise(9, 9).save(source / "three.bmp")
    with pytest.raises(UserError, match="would both be written as three"):
        list_jobs([source])
    (source / "three.bmp").unlink()
    write_tree(source, noise(SIDE * TILE, SIDE * TILE))
    with pytest.raises(UserError, match="would be overwritten"):
        refuse_overwriting(list_jobs([source]), source)


@pytest.mark.parametrize(
    ("kind", "fit", "kept"),
    [("photo", "tiles", True), ("labels", "tiles", True), ("photo", "whole", False),
     ("drawing", "tiles", False)],
)  # fmt: skip
def test_a_map_is_transparent_where_its_source_is(
    kind: str, fit: str, kept: bool, tmp_path: Path
) -> None:
    """A drawing is paper there, and of a photo that is scaled to the network nothing is missing."""
    image = noise(90, 70).convert("RGBA")
    image.paste((255, 255, 255, 0), (0, 0, 30, 70))
    image.save(tmp_path / "town.png")
    translate(translator(source_kind=kind, fit=fit), tmp_path / "town.png", tmp_path / "out")
    made = Image.open(tmp_path / "out" / "town.png")
    assert made.mode == ("RGBA" if kept else "RGB")
    if kept:
        assert made.getchannel("A").tobytes() == image.getchannel("A").tobytes()


def write_geotiff(file: Path, kind: str = "uint8", **more: Any) -> np.ndarray:
    rasterio = pytest.importorskip("rasterio")
    from rasterio.transform import from_origin

    values = np.asarray(drawn_pair(1, 200, 150)[1]).transpose(2, 0, 1).copy()
    values[:, :40, :50] = 0
    if kind != "uint8":
        values = (values[:1].astype(kind) / 255.0 * 900 - 100).astype(kind)
        values[:, :40, :50] = -9999
    about = {"driver": "GTiff", "width": 200, "height": 150, "count": len(values), "dtype": kind}
    place = {"crs": "EPSG:25832", "transform": from_origin(500_000.5, 5_400_000, 0.2, 0.25)}
    with rasterio.open(file, "w", **about, **place, **more) as made:
        made.write(values)
        made.build_overviews([2, 4], rasterio.enums.Resampling.average)
    return values


@pytest.mark.parametrize(
    ("kind", "nodata", "network"),
    [("uint8", 0, None), ("float32", -9999, {"source_channels": 1, "target_channels": 1})],
)
def test_a_geotiff_keeps_its_place(
    tmp_path: Path, kind: str, nodata: float, network: dict | None
) -> None:
    rasterio = pytest.importorskip("rasterio")
    values = write_geotiff(tmp_path / "field.tif", kind, nodata=nodata)
    painter = translator(network=network, fit="tiles")
    (outcome,) = translate(painter, tmp_path / "field.tif", tmp_path / "out")
    assert outcome.translated == 1
    with rasterio.open(tmp_path / "field.tif") as a, rasterio.open(tmp_path / "out/field.tif") as b:
        assert (a.crs, a.transform, a.bounds, a.shape) == (b.crs, b.transform, b.bounds, b.shape)
        assert b.overviews(1) == [2, 4] and b.nodata == 0
        assert b.dtypes == (("uint8",) * 3 if network is None else ("uint16",))
        mask = (values == nodata).all(axis=0)
        np.testing.assert_array_equal(b.dataset_mask() == 0, mask)
        if network is None:  # the same as a picture, where there is data
            picture = Image.fromarray(values.transpose(1, 2, 0))
            expected = np.asarray(painter.translate(picture), int).transpose(2, 0, 1)
            off = np.abs(b.read().astype(int) - expected)[:, ~mask]
            assert off.max() <= 1 and off.mean() < 0.01
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["field.tif"]


def test_a_geotiff_that_a_model_sees_nearly_black_says_so(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    write_geotiff(tmp_path / "field.tif")
    with rasterio.open(tmp_path / "field.tif") as plain:
        values, about = plain.read().astype(np.uint16) * 12, {**plain.profile, "dtype": "uint16"}
    with rasterio.open(tmp_path / "field.tif", "w", **about) as deep:
        deep.write(values)
    (outcome,) = translate(translator(fit="tiles"), tmp_path / "field.tif", tmp_path / "out")
    assert outcome.remarks[0].startswith("field.tif holds numbers up to ")
    assert "white is 65535" in outcome.remarks[0]


def test_a_palette_of_16_bits_gives_its_colours(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    about = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16"}
    place = {"crs": "EPSG:25832", "transform": rasterio.transform.from_origin(5e5, 5.4e6, 1, 1)}
    values = np.repeat(np.arange(64, dtype=np.uint16)[None] // 32 * 700, 64, axis=0)
    with rasterio.open(tmp_path / "a.tif", "w", photometric="palette", **about, **place) as made:
        made.write(values, 1)
        made.write_colormap(1, {0: (10, 20, 30, 255), 700: (200, 150, 100, 255)})
    with rasterio.open(tmp_path / "a.tif") as source:
        seen = Raster(source, "a.tif").read((0, 0, 64, 64), 3)
    colours = np.array([(10, 20, 30), (200, 150, 100)])[values // 700].transpose(2, 0, 1)
    np.testing.assert_allclose((seen + 1) * 127.5, colours, atol=1e-3)


def heights_painter(low: float, high: float) -> Translator:
    """From numbers of this range to 0 to 30 metres."""
    kind = {"type": "float32", "channels": 1, "stored": False, "kept": False}
    numbers = {"source": kind, "target": kind}
    ranges = {"source": [low, high], "target": [0, 30]}
    network = {"source_channels": 1, "target_channels": 1}
    return translator(network=network, fit="tiles", numbers=numbers, ranges=ranges)


def test_numbers_of_a_range_come_back_in_their_unit(tmp_path: Path) -> None:
    """In GeoTIFFs; map tiles are pictures for people. What does not fit the range is said."""
    rasterio = pytest.importorskip("rasterio")
    values = write_geotiff(tmp_path / "field.tif", "float32", nodata=-9999)
    painter, hole = heights_painter(-100, 800), values[0] == -9999
    (outcome,) = translate(painter, tmp_path / "field.tif", tmp_path / "out")
    expected = np.asarray(painter.translate(Image.fromarray(values[0])))
    with rasterio.open(tmp_path / "out/field.tif") as made:
        assert made.dtypes == ("float32",) and made.nodata == -9999 and not outcome.remarks
        np.testing.assert_array_equal(made.dataset_mask() == 0, hole)
        np.testing.assert_allclose(made.read(1)[~hole], expected[~hole], atol=1e-3)
    (outcome,) = translate(heights_painter(-100, 100), tmp_path / "field.tif", tmp_path / "out")
    assert "lies outside the model's range, -100 to 100" in outcome.remarks[0]
    tiles = write_tree(tmp_path / "tiles", Image.new("L", (SIDE * TILE, SIDE * TILE), 90))
    (outcome,) = translate(painter, tiles, tmp_path / "out")
    assert Image.open(tmp_path / f"out/{ZOOM}/{X}/{Y}.png").mode == "L"
    black_and_white, eight_bits = outcome.remarks
    assert "black is 0 and their white 30" in black_and_white
    assert "has 8 bits" in eight_bits and "63 other tiles" in eight_bits


def test_without_rasterio_one_sentence_says_what_to_do(
    painter: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_geotiff(tmp_path / "field.tif")
    noise(20, 20).save(tmp_path / "plain.tif")
    assert is_geotiff(tmp_path / "field.tif") and not is_geotiff(tmp_path / "plain.tif")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(UserError, match="pip install rasterio"):
        translate(painter, tmp_path / "field.tif", tmp_path / "out")
    assert not [*(tmp_path / "out").glob("*")]
    assert translate(painter, tmp_path / "plain.tif", tmp_path / "out")[0].translated == 1


def test_two_rasters_become_pairs_where_they_overlap(tmp_path: Path) -> None:
    """The target on another grid, in another projection, with a hole."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    from pix2pix.data.build import build_dataset
    from pix2pix.data.raster_pairs import raster_inputs
    from pix2pix.data.rebuild import rebuild

    values = write_geotiff(tmp_path / "aerial.tif", nodata=0)
    with rasterio.open(tmp_path / "aerial.tif") as a:
        transform, width, height = calculate_default_transform(
            a.crs, "EPSG:3857", a.width, a.height, *a.bounds, resolution=0.1
        )
        about = {**a.profile, "crs": "EPSG:3857", "transform": transform, "nodata": 0}
        with rasterio.open(
            tmp_path / "map.tif", "w", **{**about, "width": width, "height": height}
        ) as b:
            for band in (1, 2, 3):
                reproject(
                    rasterio.band(a, band), rasterio.band(b, band), resampling=Resampling.bilinear
                )
    with raster_inputs(tmp_path / "aerial.tif", tmp_path / "map.tif", tmp_path, 32) as inputs:
        names = sorted(file.name for file in inputs.source.iterdir())
        assert names and names == sorted(file.name for file in inputs.target.iterdir())
        kinds = {refusal.kind for refusal in inputs.origin.refused}
        assert len(names) + len(inputs.origin.refused) <= 24 and kinds == {"nodata"}
        off = [
            np.abs(np.asarray(Image.open(inputs.source / n), int) - Image.open(inputs.target / n))
            for n in names
        ]
        assert np.mean(off) < 12  # the same place, softened twice
    rasters = tmp_path / "aerial.tif", tmp_path / "map.tif"
    made = build_dataset(*rasters, tmp_path / "made", size=32)
    assert made["counts"]["pairs"] and made["recipe"]["together"] == r"^b\d+-\d+"
    rebuild(tmp_path / "made" / "dataset.json", tmp_path / "again", *rasters)
    for picture in (tmp_path / "made").rglob("*.png"):
        again = tmp_path / "again" / picture.relative_to(tmp_path / "made")
        assert again.read_bytes() == picture.read_bytes()
    with pytest.raises(UserError, match="does not say where"):
        noise(64, 64).save(tmp_path / "plain.tif")
        with raster_inputs(tmp_path / "plain.tif", tmp_path / "map.tif", tmp_path, 32):
            pass
    assert values.shape == (3, 150, 200) and not [*tmp_path.glob(".unfinished-*")]
