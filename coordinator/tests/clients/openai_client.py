"""Everything that an app does with OpenAI's Images, with OpenAI's own package for Python.

    openai_client.py http://COORDINATOR/v1 MODEL DIRECTORY

Leaves the pictures in DIRECTORY: base64.png, address.png and stream.png.
"""

import base64
import pathlib
import sys
import urllib.request

import openai

base_url, model, directory = sys.argv[1:]
directory = pathlib.Path(directory)
client = openai.OpenAI(base_url=base_url, api_key="any")
picture = {
    "model": model,
    "prompt": "a red bird",
    "size": "64x72",
    "extra_body": {"seed": 7, "num_inference_steps": 2, "negative_prompt": "cats"},
}

assert [served.id for served in client.models.list()] == [model]
assert client.models.retrieve(model).object == "model"

made = client.images.generate(**picture, n=2, response_format="b64_json", user="me")
assert len(made.data) == 2 and made.size == "64x72" and made.output_format == "png"
(directory / "base64.png").write_bytes(base64.b64decode(made.data[0].b64_json))

made = client.images.generate(**picture, response_format="url")
with urllib.request.urlopen(made.data[0].url) as answer:
    (directory / "address.png").write_bytes(answer.read())

events = list(client.images.generate(**picture, stream=True, partial_images=2))
assert [event.type for event in events] == ["image_generation.completed"], events
assert events[0].usage.total_tokens == 0
(directory / "stream.png").write_bytes(base64.b64decode(events[0].b64_json))


def refused(kind, code, param, **changes):
    try:
        client.images.generate(**{**picture, **changes})
    except kind as error:
        assert (error.code, error.param) == (code, param), error
        assert error.message and error.type == "invalid_request_error", error
    else:
        raise AssertionError(f"not refused: {changes}")


refused(openai.BadRequestError, "INVALID_REQUEST", "size", size="65x64")
refused(openai.BadRequestError, "INVALID_REQUEST", "n", n=9)
refused(openai.BadRequestError, "UNSUPPORTED", "output_format", output_format="webp")
refused(openai.NotFoundError, "UNKNOWN_MODEL", "model", model="dall-e-3")
print("openai", openai.__version__, "for Python: all as expected")
