"""Durations, rates, sizes: what people write is read exactly, and anything else is a `ConfigError`."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spikestream.errors import ConfigError
from spikestream.units import duration_us, pixels, rate_hz, show_count, show_us, size_bytes

READERS = [duration_us, rate_hz, size_bytes, pixels]


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("30us", 30),
        ("30µs", 30),
        ("200ms", 200_000),
        ("1.5s", 1_500_000),
        (" 1.5 s ", 1_500_000),
        ("2min", 120_000_000),
        ("2m", 120_000_000),
        ("1h", 3_600_000_000),
        ("0s", 0),
        ("0.3us", 0),
        ("00:01:02.5", 62_500_000),
        ("01:02", 62_000_000),
        ("100:00:00", 360_000_000_000),
    ],
)
def test_durations(text: str, microseconds: int):
    assert duration_us(text) == microseconds


@pytest.mark.parametrize(
    ("text", "hz"), [("2M/s", 2e6), ("200k/s", 2e5), ("50/s", 50.0), ("0.5Hz", 0.5), ("1.5 GHz", 1.5e9)]
)
def test_rates(text: str, hz: float):
    assert rate_hz(text) == hz


@pytest.mark.parametrize(
    ("text", "count"), [("512B", 512), ("64KiB", 65_536), ("8MiB", 8_388_608), ("1GB", 10**9), ("1.5kB", 1_500)]
)
def test_byte_sizes(text: str, count: int):
    assert size_bytes(text) == count


@pytest.mark.parametrize(("text", "size"), [("346x260", (346, 260)), ("1x1", (1, 1)), ("65536x65536", (65536, 65536))])
def test_pixel_sizes(text: str, size: tuple[int, int]):
    assert pixels(text) == size


@pytest.mark.parametrize(
    "text", ["", "5", "-1s", "1e3s", "1 second", "s", "1:2:3:4", "1.5.2s", "nan s", "inf s", "1s1ms"]
)
def test_what_is_no_duration(text: str):
    with pytest.raises(ConfigError) as caught:
        duration_us(text)
    assert str(caught.value) == f"'{text}' is not a duration\n  allowed: 1.5s, 200ms, 30us, 2min, 1h, 00:01:02.5"
    assert caught.value.value == text


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (rate_hz, "50", "'50' is not a rate\n  allowed: 2M/s, 200k/s, 50/s, 50Hz"),
        (rate_hz, "2m/s", "'2m/s' is not a rate\n  allowed: 2M/s, 200k/s, 50/s, 50Hz"),
        (size_bytes, "8mb", "'8mb' is not a size in bytes\n  allowed: 64KiB, 8MiB, 1GB, 512B"),
        (pixels, "346", "'346' is not a sensor size\n  allowed: WIDTHxHEIGHT in pixels, e.g. 346x260"),
        (pixels, "0x5", "'0x5' is not a sensor size\n  allowed: WIDTHxHEIGHT in pixels, e.g. 346x260"),
        (pixels, "65537x1", "'65537x1' is not a sensor size\n  allowed: WIDTHxHEIGHT in pixels, e.g. 346x260"),
        (duration_us, "1281023895h", "'1281023895h' is longer than stream time can hold"),
    ],
)
def test_error_texts(read, text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value) == message


NUMBER = st.decimals(min_value=0, max_value=10**6, places=3)


@given(NUMBER, st.sampled_from([("us", 1), ("ms", 10**3), ("s", 10**6), ("min", 60 * 10**6), ("h", 3600 * 10**6)]))
def test_a_duration_is_right_to_half_a_microsecond(number: Decimal, unit: tuple[str, int]):
    exact = number * unit[1]
    assert abs(duration_us(f"{number}{unit[0]}") - exact) <= Decimal("0.5")


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_a_clock_time_is_its_parts(hours: int, minutes: int, seconds: int, micro: int):
    written = f"{hours:02}:{minutes:02}:{seconds:02}.{micro:06}"
    assert duration_us(written) == ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micro


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,400}(\.[0-9]+)?\s?(us|s|h|GB|GHz|G/s|x[0-9]+)", fullmatch=True))
@example("9" * 400 + "s")
@example("9" * 5000 + "s")
@example("9" * 5000 + ":00:00")
@example("9" * 400 + "G/s")
@example("9" * 400 + "GB")
@example("٣s")
def test_any_text_is_a_value_or_a_config_error(text: str):
    for read in READERS:
        try:
            value = read(text)
        except ConfigError:
            continue
        parts = value if isinstance(value, tuple) else (value,)
        assert all(0 <= part < 2**63 for part in parts)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0 µs"),
        (999, "999 µs"),
        (1_500, "1.5 ms"),
        (1_500_000, "1.5 s"),
        (90_000_000, "1.5 min"),
        (5_400_000_000, "1.5 h"),
        (-1_500, "-1.5 ms"),
    ],
)
def test_times_as_we_write_them(microseconds: int, text: str):
    assert show_us(microseconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 "),
        (999, "999 "),
        (1_200, "1.2 k"),
        (1_234_567, "1.23 M"),
        (2e9, "2 G"),
        (999.9, "1 k"),
        (999_499, "999 k"),
        (999_500_000_000, "1 T"),
        (999_999, "1 M"),
        (-1_200, "-1.2 k"),
    ],
)
def test_counts_as_we_write_them(number: float, text: str):
    assert show_count(number) == text


@given(st.integers(-(10**12), 10**12))
def test_what_we_write_is_near_what_it_was(number: int):
    scale = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    digits, prefix = show_count(number).split(" ")
    assert "e" not in digits
    assert float(digits) * scale[prefix] == pytest.approx(number, rel=0.006)


@given(st.integers(0, 10**12))
def test_a_written_duration_reads_back(microseconds: int):
    assert duration_us(show_us(microseconds)) == pytest.approx(microseconds, rel=0.001)
