import http.client
import json
from urllib.parse import urlsplit


def send(url, method, path, body=None, *, headers=None, timeout=30):
    """Status and JSON of the response; lists and objects are sent as JSON."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        content = json.dumps(body) if isinstance(body, dict | list) else body
        connection.request(method, path, content, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def predict(url, model, body, **options):
    return send(url, "POST", f"/v1/models/{model}:predict", body, **options)
