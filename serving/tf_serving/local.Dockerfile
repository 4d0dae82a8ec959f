# The stand-in for TensorFlow Serving, where its official image cannot be had (another CPU, an air gap).
#   docker build -f serving/tf_serving/local.Dockerfile -t tandem/tf-serving-local:0.1.0 .
#   docker run --rm -p 8500:8500 -v "$PWD/model_store:/models:ro" tandem/tf-serving-local:0.1.0
# A release build names the base by digest: --build-arg PYTHON=python:3.11-slim-bookworm@sha256:...
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
COPY serving/tf_serving/requirements.lock /requirements.lock
# Wheels only, each checked against the lock: nothing is resolved, nothing is compiled.
RUN python3 -m venv --without-pip /opt/tandem \
 && pip --python /opt/tandem/bin/python install --no-cache-dir --no-deps --only-binary :all: \
      --require-hashes -r /requirements.lock
# Of the gateway only its wire formats, of the store only its manifest.
COPY gateway/__init__.py gateway/errors.py gateway/messages.py gateway/tensors.py /opt/tandem/lib/python3.11/site-packages/gateway/
COPY gateway/_stubs /opt/tandem/lib/python3.11/site-packages/gateway/_stubs
COPY gateway/codecs /opt/tandem/lib/python3.11/site-packages/gateway/codecs
COPY model_store/__init__.py model_store/decode.py model_store/manifest.py model_store/records.py /opt/tandem/lib/python3.11/site-packages/model_store/
COPY serving/__init__.py /opt/tandem/lib/python3.11/site-packages/serving/
COPY serving/tf_serving /opt/tandem/lib/python3.11/site-packages/serving/tf_serving
# The root file system is read-only later, so bytecode is written now.
RUN /opt/tandem/bin/python -m compileall -q /opt/tandem/lib/python3.11/site-packages/gateway \
      /opt/tandem/lib/python3.11/site-packages/model_store /opt/tandem/lib/python3.11/site-packages/serving

FROM ${PYTHON}
COPY --from=build /opt/tandem /opt/tandem
COPY serving/tf_serving/models.config /etc/tf-serving/
ENV PATH=/opt/tandem/bin:$PATH \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root's.
USER 10002:10002
WORKDIR /opt/tandem
EXPOSE 8500
STOPSIGNAL SIGTERM
# It listens once it has loaded what there is.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8500), 2).close()"]
ENTRYPOINT ["python", "-m", "serving.tf_serving.local"]
CMD ["--model-config-file", "/etc/tf-serving/models.config", "--host", "0.0.0.0", "--port", "8500"]
