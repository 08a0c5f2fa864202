"""Features: those of the command line to the byte, by every way in which photos may come."""

import multiprocessing
import pickle
import threading

import numpy as np
import pyarrow as pa
import pytest
from conftest import BACKBONE, COLOURS, drawn

import rehead


@pytest.fixture(scope="module")
def extractor():
    return rehead.Extractor(BACKBONE, engine="cpu")


def test_features_are_those_of_the_command_line_to_the_byte(extractor, photos, paths, command, tmp_path):
    out = tmp_path / "features.npy"
    command("embed", photos, "--backbone", BACKBONE, "--out", out, "--no-store")
    expected = np.load(out)
    features = extractor.embed([path.read_bytes() for path in paths])
    assert features.dtype == np.float32 and features.flags.writeable
    assert features.shape == expected.shape == (36, extractor.width)
    assert features.tobytes() == expected.tobytes()
    # A photo that the camera turned is read as turned: read as it lies, it is another.
    turned = next(place for place, path in enumerate(paths) if path.name == "03.jpg")
    lying = rehead.Extractor(BACKBONE, engine="cpu", exif="ignore").embed([paths[turned]])
    assert lying.tobytes() != features[turned].tobytes()


def test_photos_come_in_many_ways(extractor, paths):
    contents = [path.read_bytes() for path in paths]
    expected = extractor.embed(contents).tobytes()
    ways = {
        "paths": paths,
        "texts": map(str, paths),
        "bytearrays": [bytearray(content) for content in contents],
        "views": (memoryview(content) for content in contents),
        "numpy": [np.frombuffer(content, np.uint8) for content in contents],
        "binary": pa.array(contents),
        "large": pa.array(contents, pa.large_binary()),
        "view": pa.array(contents, pa.binary_view()),
        "chunked": pa.chunked_array([contents[:5], contents[5:]]),
        "sliced": pa.array([b"none", *contents, b"of these"])[1:-1],
        "scalars": list(pa.array(contents)),
        "foreign": Foreign(pa.array(contents)),
    }
    for name, way in ways.items():
        assert extractor.embed(way).tobytes() == expected, name
    with pytest.raises(TypeError, match="binary values"):
        extractor.embed(pa.array([1, 2]))
    with pytest.raises(TypeError, match="into a list"):
        extractor.embed(contents[0])
    assert extractor.embed([]).shape == (0, extractor.width)


class Foreign:
    """An array of another library's, known by Arrow's interface alone."""

    def __init__(self, array):
        self._array = array

    def __arrow_c_array__(self, requested_schema=None):
        return self._array.__arrow_c_array__(requested_schema)


def test_what_cannot_be_read_is_told_by_row(extractor, tmp_path):
    good = drawn(COLOURS["red"], 1)
    images = [good, b"no photo", None, good[:100], tmp_path / "missing.jpg", drawn(COLOURS["blue"], 2)]
    features, errors = extractor.embed(images, errors="row")
    assert [error is None for error in errors] == [True, False, False, False, False, True]
    assert "null" in errors[2] and "No such file" in errors[4]
    assert np.isnan(features[1:5]).all() and np.isfinite(features[[0, 5]]).all()
    assert features[0].tobytes() == extractor.embed([good]).tobytes()
    with pytest.raises(rehead.InputError, match=r'row 1 \(and 3 more of 6\): .*errors="row"') as raised:
        extractor.embed(images)
    assert isinstance(raised.value, ValueError) and raised.value.remedy.startswith("errors=")
    nulls, errors = extractor.embed(pa.array([good, None]), errors="row")
    assert np.isnan(nulls[1]).all() and errors[0] is None and "null" in errors[1]
    with pytest.raises(ValueError, match="expected"):
        extractor.embed([good], errors="ignore")


def test_batches_and_engines_agree(extractor, paths):
    expected = extractor.embed(paths)
    for batch in (1, 5, 64):
        assert rehead.Extractor(BACKBONE, engine="cpu", batch=batch).embed(paths).tobytes() == expected.tobytes()
    # On an adapter, be it software: within what one key allows.
    other = rehead.Extractor(BACKBONE, engine="gpu")
    assert (other.engine, other.key) == ("gpu", extractor.key)
    distance = np.linalg.norm(other.embed(paths) - expected) / np.linalg.norm(expected)
    assert distance <= 1e-4


def test_a_key_tells_what_features_depend_on(extractor):
    assert len(extractor.key) == 64 and extractor.key_parts["precision"] == "f32"
    recipe = {
        "input_size": [32, 32],
        "resize": {"shorter_side": 36},
        "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    others = [{"exif": "ignore"}, {"background": "white"}, {"recipe": recipe}]
    keys = {rehead.Extractor(BACKBONE, engine="cpu", **more).key for more in others}
    assert len(keys | {extractor.key}) == 4


def test_it_can_be_pickled(extractor, paths):
    made = rehead.Extractor(BACKBONE, engine="cpu", batch=3, exif="ignore")
    again = pickle.loads(pickle.dumps(made))
    assert repr(again) == repr(made) and again.key == made.key != extractor.key
    assert again.embed(paths[:4]).tobytes() == made.embed(paths[:4]).tobytes()


def test_other_threads_run_meanwhile(extractor, paths):
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(None)

    clock = threading.Thread(target=tick)
    clock.start()
    for _ in range(5):
        extractor.embed(paths)
    done.set()
    clock.join()
    assert len(ticks) > 5


def test_threads_may_share_it(extractor, paths):
    expected, got = extractor.embed(paths).tobytes(), []
    threads = [threading.Thread(target=lambda: got.append(extractor.embed(paths).tobytes())) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert got == [expected] * 4


def embed_in_a_fork(extractor, paths, queue):
    try:
        extractor.embed(paths)
    except RuntimeError as error:
        queue.put(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here")
def test_a_forked_process_is_told_rather_than_hang(extractor, paths):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=embed_in_a_fork, args=(extractor, paths[:1], queue))
    process.start()
    assert "spawn" in queue.get(timeout=30)
    process.join()


def test_features_are_kept_where_that_is_asked(paths, tmp_path):
    kept = rehead.Extractor(BACKBONE, engine="cpu", store=tmp_path / "store")
    first = kept.embed(paths).tobytes()
    assert list((tmp_path / "store").iterdir())
    assert rehead.Extractor(BACKBONE, engine="cpu", store=tmp_path / "store").embed(paths).tobytes() == first


def test_errors_are_python_s(tmp_path):
    with pytest.raises(rehead.IoError) as raised:
        rehead.Extractor(tmp_path / "none.safetensors")
    assert isinstance(raised.value, OSError) and "none.safetensors" in str(raised.value)
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(rehead.InputError):
        rehead.Extractor(tmp_path / "bad.safetensors", engine="cpu")
    with pytest.raises(rehead.Error, match='engine="cpu"') as raised:
        rehead.Extractor(BACKBONE, engine="gpu", adapter="no such adapter")
    assert pickle.loads(pickle.dumps(raised.value)).remedy == raised.value.remedy
    for wrong, words in [({"engine": "tpu"}, "tpu"), ({"batch": 0}, "1 or more"), ({"precision": "f8"}, "f16")]:
        with pytest.raises(ValueError, match=words):
            rehead.Extractor(BACKBONE, **wrong)
    with pytest.raises(TypeError, match="colour"):
        rehead.Extractor(BACKBONE, colour="white")
