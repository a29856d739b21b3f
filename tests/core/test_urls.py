import pytest

from onward.core.urls import backend_of, filled, shown, without_secrets


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("postgresql+psycopg://h/d", "postgresql"),
        ("S3://bucket/a.csv", "s3"),
        ("data/*.csv", ""),
        ("/data/a.csv", ""),
    ],
)
def test_the_backend_is_what_the_scheme_names(url, backend):
    assert backend_of(url) == backend


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@ss@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("postgresql://h/d?user=u&password=p&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("https://h/a.csv?X-Amz-Signature=abc", "https://h/a.csv?X-Amz-Signature=***"),
        ("s3://bucket/a:b@c.csv", "s3://bucket/a:b@c.csv"),
        ("data/*.csv", "data/*.csv"),
    ],
)
def test_a_password_is_hidden(url, expected):
    assert shown(url) == expected


def test_what_a_driver_says_is_told_without_the_password():
    url = "postgresql://u:a%40b@h/d?sslpassword=cd"
    said = f"no luck with {url}: a%40b, a@b and cd are wrong for u"
    assert without_secrets(said, url) == (
        "no luck with postgresql://u:***@h/d?sslpassword=***: ***, *** and *** are wrong for u"
    )
    assert without_secrets("nothing to hide", "s3://bucket/a") == "nothing to hide"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("pg://u:${p}@h/${d}", "pg://u:a%40b%2F@h/x"),
        ("${u}", "pg://v:w@h/y"),
        ("pg://h/${d}?c=1", "pg://h/x?c=1"),
    ],
)
def test_a_secret_in_a_url_is_encoded_where_it_could_end_it(url, expected):
    values = {"${p}": "a@b/", "${d}": "x", "${u}": "pg://v:w@h/y"}

    def fill(text):
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    assert filled(url, fill) == expected
