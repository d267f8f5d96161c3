"""Makes a bucket or a container, or copies all that is in one into a folder.

usage: client.py (make|copy) s3 ADDRESS BUCKET [FOLDER]
       client.py (make|copy) azure ADDRESS CONTAINER ACCOUNT KEYFILE [FOLDER]

The emulator of S3 believes every signature, and that of Azure none that is wrong.
"""

import base64
import email.utils
import hashlib
import hmac
import pathlib
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as xml

# What the emulator of Azure knows.
VERSION = "2023-11-03"


def names_of(text, element):
    """The texts of all elements of this name, whatever their namespace."""
    return [found.text for found in xml.fromstring(text).iter() if found.tag.rsplit("}", 1)[-1] == element]


class S3:
    def __init__(self, address, bucket):
        self.root = f"http://{address}/{bucket}"

    def ask(self, method, path="", query=()):
        url = f"{self.root}{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
            return answer.read()

    def make(self):
        self.ask("PUT")

    def names(self):
        token = None
        while True:
            query = [("list-type", "2")] + ([("continuation-token", token)] if token else [])
            page = self.ask("GET", "", query)
            yield from names_of(page, "Key")
            token = next(iter(names_of(page, "NextContinuationToken")), None)
            if not token:
                return

    def read(self, name):
        return self.ask("GET", "/" + urllib.parse.quote(name))


class Azure:
    def __init__(self, address, container, account, keyfile):
        self.address, self.container, self.account = address, container, account
        self.key = base64.b64decode(pathlib.Path(keyfile).read_text().strip())

    def ask(self, method, path="", query=()):
        date = email.utils.formatdate(usegmt=True)
        path = f"/{self.account}/{self.container}{path}"
        headers = f"x-ms-date:{date}\nx-ms-version:{VERSION}"
        resource = f"/{self.account}{path}" + "".join(f"\n{name}:{value}" for name, value in sorted(query))
        text = "\n".join([method, *[""] * 11, headers, resource])
        signature = base64.b64encode(hmac.new(self.key, text.encode(), hashlib.sha256).digest()).decode()
        url = f"http://{self.address}{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, method=method)
        request.add_header("x-ms-date", date)
        request.add_header("x-ms-version", VERSION)
        request.add_header("authorization", f"SharedKey {self.account}:{signature}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def make(self):
        self.ask("PUT", "", [("restype", "container")])

    def names(self):
        marker = None
        while True:
            query = [("comp", "list"), ("restype", "container")] + ([("marker", marker)] if marker else [])
            page = self.ask("GET", "", query).decode("utf-8-sig")
            yield from names_of(page, "Name")
            marker = next(iter(names_of(page, "NextMarker")), None)
            if not marker:
                return

    def read(self, name):
        return self.ask("GET", "/" + urllib.parse.quote(name))


def main():
    action, kind, address, bucket, *rest = sys.argv[1:]
    client = Azure(address, bucket, rest.pop(0), rest.pop(0)) if kind == "azure" else S3(address, bucket)
    if action == "make":
        return client.make()
    folder = pathlib.Path(rest[0])
    for name in client.names():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            (folder / name).write_bytes(client.read(name))
        except urllib.error.HTTPError as error:
            # It was merged meanwhile; what is missing then is seen.
            if error.code != 404:
                raise


main()
