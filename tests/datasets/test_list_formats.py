"""Training and tools/check_videos.py read the same formats of lists, and report the same mistakes."""

import pytest

from slowfast.datasets.build import build_dataset
from slowfast.datasets.scan import videos_of_list
from slowfast.errors import UserError
from tests.datasets.data import small_cfg

TEXT = "a.mp4 0\nb.mp4 2\n"


def read(folder, content: bytes, separator=" ", skip_rows=0):
    """Write a list and return (paths, labels) as training reads them."""
    (folder / "train.csv").write_bytes(content)
    keys = {"DATA__PATH_LABEL_SEPARATOR": separator, "DATA__SKIP_ROWS": skip_rows}
    data = build_dataset("kinetics", small_cfg(folder, **keys), "train")
    return [data.path_of(video) for video in range(len(data))], data.labels.tolist()


def checked(folder, separator=" ", skip_rows=0):
    """Return the paths that tools/check_videos.py reads from the list that `read` has written."""
    videos = videos_of_list(str(folder / "train.csv"), separator, skip_rows=skip_rows)
    return [videos.path_of(place) for place in range(len(videos))]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (TEXT.encode("utf-8-sig"), {}),
        (TEXT.encode("utf-16"), {}),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), {}),
        (TEXT.replace("\n", "\r\n").encode(), {}),
        (TEXT.replace(" ", "\t").encode(), {"separator": "\t"}),
        (TEXT.replace(" ", " , ").encode(), {"separator": ","}),
        (b"path label\n" + TEXT.encode(), {"skip_rows": 1}),
        (b'"a.mp4" "0"\n"b.mp4"  2\n', {}),
        (b'"a.mp4","0"\n"b.mp4", 2\n', {"separator": ","}),
    ],
)
def test_a_list_is_read_in_every_format(tmp_path, content, options):
    assert read(tmp_path, content, **options) == (["a.mp4", "b.mp4"], [0, 2])
    assert checked(tmp_path, **options) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("content", "separator"),
    [(b'"my, video.mp4" 1\n"b ""2"".mp4" 2\n', " "), (b'"my, video.mp4",1\n"b ""2"".mp4",2\n', ",")],
)
def test_a_path_in_quotes_may_have_any_separator(tmp_path, content, separator):
    assert read(tmp_path, content, separator) == (["my, video.mp4", 'b "2".mp4'], [1, 2])
    assert checked(tmp_path, separator) == ["my, video.mp4", 'b "2".mp4']


@pytest.mark.parametrize(
    ("content", "separator", "message"),
    [
        ("path label\na.mp4 0\nb.mp4 1\n", " ", r"line 1: \('path', 'label'\) is a header: set DATA.SKIP_ROWS to 1"),
        ("\nvideo,class\na.mp4,cat\nb.mp4,dog\n", ",", r"line 2: .* is a header: set DATA.SKIP_ROWS to 2"),
        ("id name label\na.mp4 0\n", " ", "line 1: expected .*; a header is left out with DATA.SKIP_ROWS 1"),
        ("a.mp4\t0\n", " ", r"line 1: .*separator here is a tab: set DATA.PATH_LABEL_SEPARATOR to '\\t'"),
        ("my clip.mp4\t0\n", " ", r"line 1: .*separator here is a tab: set DATA.PATH_LABEL_SEPARATOR to '\\t'"),
        ("my clip.mp4\tdog\n", " ", r"line 1: .*separator here is a tab"),
        ("a.mp4,0\n", " ", "line 1: .*separator here is a comma: set DATA.PATH_LABEL_SEPARATOR to ','"),
        ("my clip.mp4,0\n", " ", "line 1: .*separator here is a comma"),
        ('"a.mp4",0\n', " ", "line 1: .*separator here is a comma"),
        ("a.mp4;0\n", ",", "line 1: .*separator here is a semicolon"),
        ("a.mp4 0\n", ",", "line 1: .*separator here is a blank: set DATA.PATH_LABEL_SEPARATOR to ' '"),
        ("0 a.mp4\n2 b.mp4\n", " ", "line 1: expected .*: the label is in front of the path: write the path first"),
        ("a.mp4,1\n2,b.mp4\n", ",", "line 2: .*the label is in front of the path"),
        ("0,2 a.mp4\n", " ", "line 1: .*the label is in front of the path"),
        ("0 videos/a\n2 videos/b\n", " ", r"line 1: \('0', 'videos/a'\): the label is in front of the path"),
        ("0\ta.mp4\n", " ", r"line 1: .*separator here is a tab"),
        ("a.mp4 0\nmy clip.mp4 1\n", " ", 'line 2: expected .* write "path" in quotes, or use and configure another'),
        ("a.mp4 0\n# b.mp4 1\n", " ", "line 2: '# b.mp4 1' is a comment, and lists cannot have comments"),
        ("#b.mp4 1\n", " ", "line 1: '#b.mp4 1' is a comment.*DATA.SKIP_ROWS 1"),
        ("a.mp4 0\nd\\b.mp4 1\n", " ", r"line 2: the file 'd\\\\b.mp4' does not exist; .*write / in paths"),
    ],
)
def test_a_format_other_than_the_configured_one_is_an_error_that_names_the_key(tmp_path, content, separator, message):
    for mistaken in (read, lambda folder, _, separator: checked(folder, separator)):
        with pytest.raises(UserError, match=message):
            mistaken(tmp_path, content.encode(), separator)


def test_utf16_without_a_byte_order_mark_is_named(tmp_path):
    with pytest.raises(UserError, match="train.csv is not UTF-8 text: .* UTF-16 .* save it as UTF-8"):
        read(tmp_path, TEXT.encode("utf-16-le"))
    with pytest.raises(UserError, match="is not UTF-8 text: .* UTF-32 .* save it as UTF-8"):
        read(tmp_path, TEXT.encode("utf-32"))


def test_a_backslash_in_the_name_of_a_file_that_exists_is_fine(tmp_path):
    (tmp_path / "d\\b.mp4").touch()
    assert read(tmp_path, b"d\\b.mp4 1\n") == ([str(tmp_path / "d\\b.mp4")], [1])
