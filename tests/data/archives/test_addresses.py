"""Addresses that a config may name, and those that are rejected without repeating credentials."""

import pytest

from seglight.data.archives.addresses import check_address, is_address, without_secrets
from seglight.data.sources import ArchiveSource
from seglight.errors import UsageError


@pytest.mark.parametrize(
    'address',
    ['s3://b/a.zip', 'gs://b/c/a.tar', 'hf://datasets/o/n@main/a.zip', 'https://h/a%20b.zip', 'http://h:80/a', 'http://[::1]:80/a.zip'],
)  # fmt: skip
def test_addresses_of_known_protocols_are_accepted(address: str) -> None:
    check_address(address)
    assert is_address(address)
    assert ArchiveSource([address]).path == [address]


@pytest.mark.parametrize(
    ('address', 'message'),
    [
        ('ftp://h/a.zip', 'must begin with one of s3://'),
        ('file:///a.zip', 'must begin with one of s3://'),
        ('zip://a::https://h/a.zip', 'must begin with one of'),
        ('HTTPS://h/a.zip', 'must begin with one of'),
        ('https://me:secret@h/a.zip', 'must not contain a user, a password or a query'),
        ('s3://secret@b/a.zip', 'must not contain a user'),
        ('https://h/a.zip?X-Signature=secret', 'must not contain a user, a password or a query'),
        ('ftp://me:secret@h/a.zip?secret', 'must begin with'),
        ('https://h/../a.zip', "no empty part, '.' or '..'"),
        ('https://h//a.zip', "no empty part, '.' or '..'"),
        ('https:///a.zip', "no empty part, '.' or '..'"),
        ('https://h/%2e%2E/a.zip', "no empty part, '.' or '..'"),
        ('https://h/a%2f..%2Fb.zip', "no empty part, '.' or '..'"),
        ('https://h/a%0d%0ab.zip', 'no empty part'),
        ('s3://b/a.zip::file', "must not contain '::'"),
        ('s3://file::b/a.zip', "must not contain '::'"),
        ('memory://a.zip', r'must begin with one of s3://, gs://, hf://, https://, http://, got'),
    ],
)
def test_others_are_rejected_without_their_secrets(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        ArchiveSource(['local.zip', address])
    assert 'secret' not in str(error.value)


def test_secrets_are_removed_from_messages_of_libraries() -> None:
    text = "503, message='Slow down', url='https://me:pw@host/a.zip?sig=abc' (https://host/b.zip?key=1)"
    assert without_secrets(text) == "503, message='Slow down', url='https://host/a.zip (https://host/b.zip"
