"""curl for one request over HTTP/3, where the machine's own has none: the libcurl of curl_cffi, built with ngtcp2.

usage: curl.py CA METHOD URL TOKEN (the body on standard input); prints the head's first line, an empty line, the body
"""

import sys
from io import BytesIO

from curl_cffi import Curl, CurlOpt

HTTP3_ONLY = 31

ca, method, url, token = sys.argv[1:]
body, head, answer = sys.stdin.buffer.read(), BytesIO(), BytesIO()
curl = Curl()
for option, value in {
    CurlOpt.URL: url.encode(),
    CurlOpt.HTTP_VERSION: HTTP3_ONLY,
    CurlOpt.CAINFO: ca.encode(),
    CurlOpt.CUSTOMREQUEST: method.encode(),
    CurlOpt.HTTPHEADER: [f"authorization: Bearer {token}".encode(), b"content-type: application/json"],
    CurlOpt.HEADERDATA: head,
    CurlOpt.WRITEDATA: answer,
}.items():
    curl.setopt(option, value)
if body:
    curl.setopt(CurlOpt.POSTFIELDS, body)
curl.perform()
print(head.getvalue().split(b"\r\n")[0].decode().strip(), end="\n\n", flush=True)
sys.stdout.buffer.write(answer.getvalue())
