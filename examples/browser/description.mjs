// What an exported ONNX file says of itself: the property `deeplab.json` of its metadata.

const METADATA = 14; // ModelProto.metadata_props in onnx.proto: messages of a key (1), a value (2).

/**
 * The description, as export_model.py wrote it, in an ArrayBuffer with an ONNX file; null without.
 * Throws an Error where the file is no ONNX.
 */
export function readDescription(buffer) {
  const bytes = new Uint8Array(buffer);
  const text = new TextDecoder();
  for (const [field, begin, end] of fieldsOf(bytes, 0, bytes.length)) {
    if (field !== METADATA) continue;
    const property = {};
    for (const [part, from, to] of fieldsOf(bytes, begin, end)) {
      property[part] = text.decode(bytes.subarray(from, to));
    }
    if (property[1] === 'deeplab.json') return JSON.parse(property[2]);
  }
  return null;
}

/** Yields [number, begin, end] of the fields of a protobuf message that have a length. */
function* fieldsOf(bytes, begin, end) {
  let place = begin;
  function varint() {
    let value = 0;
    for (let factor = 1; place < end; factor *= 128) {
      const byte = bytes[place++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new Error('is damaged, or no ONNX file');
  }
  while (place < end) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 0) {
      varint();
    } else if (kind === 2) {
      const length = varint();
      if (place + length > end) throw new Error('is damaged, or no ONNX file');
      yield [Math.floor(tag / 8), place, place + length];
      place += length;
    } else if (kind === 1 || kind === 5) {
      place += kind === 1 ? 8 : 4;
    } else {
      throw new Error('is damaged, or no ONNX file');
    }
  }
}
