"""Who may come in: the token of a listener, and the certificates of an encrypted line."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from spikestream.errors import ConfigError

if TYPE_CHECKING:
    import ssl

LEAST, MOST = 16, 512
"""Characters of a token: 16 random ones cannot be guessed, and 512 fit any frame."""
TOKEN_VARIABLE = "SPIKESTREAM_TOKEN_FILE"


def read_token(path: str, key: str = "publish.token_file") -> str:
    """Return the token a file holds, white space around it stripped; raises `ConfigError`, which never shows it.

    Nobody but the file's owner may be able to read it, and the owner is who runs this, or root.
    """
    try:
        # A FIFO must not hang us, hence the flag; what else there is is looked at before it is read.
        descriptor = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            _private(path, found, key)
            text = file.read(MOST * 8)
    except OSError as error:
        raise ConfigError(
            f"the token file {path} cannot be read: {error.strerror}",
            key=key,
            value=path,
            remedy=f"(umask 077; openssl rand -hex 32 > {path})",
        ) from None
    return _token(path, text, key)


def _private(path: str, found: os.stat_result, key: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the token file {path} is no file", key=key, value=path)
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"the token file {path} belongs to somebody else",
            key=key,
            value=path,
            allowed="a file of who runs this, or of root",
        )
    if found.st_mode & 0o077:
        raise ConfigError(
            f"others may open the token file {path}: its mode is {stat.S_IMODE(found.st_mode):04o}",
            key=key,
            value=path,
            allowed="0600 or 0400",
            remedy=f"chmod 600 {path}, and make a new token if others have been here",
        )


def _token(path: str, text: bytes, key: str) -> str:
    token = text.strip()
    printable = all(33 <= byte < 127 for byte in token)
    if not LEAST <= len(token) <= MOST or not printable:
        why = f"{len(token)} bytes" if printable else "white space or characters beyond ASCII in it"
        raise ConfigError(
            f"the token file {path} holds no token: {why}",
            key=key,
            value=path,
            allowed=f"one word of {LEAST} to {MOST} ASCII characters",
            remedy=f"(umask 077; openssl rand -hex 32 > {path})",
        )
    return token.decode("ascii")


def server_tls(certificate: str, key: str) -> ssl.SSLContext:
    """Return what a listener encrypts with, TLS 1.2 or later, from PEM files; raises `ConfigError`.

    An empty ``key`` means that the certificate's file holds the key, too.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    certificate, key = os.path.expanduser(certificate), os.path.expanduser(key)
    for name, path in (("publish.tls_certificate", certificate), ("publish.tls_key", key or certificate)):
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", key=name, value=path) from None
        if name.endswith("key") and mode & 0o007:
            raise ConfigError(
                f"everybody may open the private key {path}", key=name, value=path, remedy=f"chmod 600 {path}"
            )
    try:
        context.load_cert_chain(certificate, key or None, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"{certificate} and {key or 'the key in it'} are no certificate and its key: {_reason(error)}",
            key="publish.tls_certificate",
            value=certificate,
            allowed="PEM files, the certificate first and then those that vouch for it, the key not encrypted",
            remedy=f"openssl x509 -noout -text -in {certificate}",
        ) from None
    return context


def client_tls(ca: str) -> ssl.SSLContext:
    """Return what a client believes: the authorities of a PEM file, or of this machine; raises `ConfigError`."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=os.path.expanduser(ca) or None)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror if error.strerror and not isinstance(error, ssl.SSLError) else _reason(error)
        raise ConfigError(
            f"{ca} holds no certificates: {why}", key="ca", value=ca, allowed="a PEM file of certificates"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _no_password() -> str:
    """Answer for who would else ask at a terminal that a daemon does not have."""
    return ""


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error).replace("_", " ").lower()
