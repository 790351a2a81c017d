// Segments pictures with an exported model.onnx, in the browser: nothing is sent anywhere.
// The addresses ?model=PATH and ?max_size=PIXELS choose another model and the longest side it sees.
import * as ort from './ort/ort.wasm.min.mjs';
import {readDescription} from './description.mjs';

const query = new URLSearchParams(location.search);
const element = (id) => document.getElementById(id);
const GREY = 'rgb(127, 127, 127)'; // Around a picture where the model takes one size only.
let network = null; // {session, description}
let shown = null; // {picture, classes}: canvases of one size.

function say(text, isError = false) {
  element('status').textContent = text;
  element('status').className = isError ? 'error' : '';
}

/** Makes `bytes` (ArrayBuffer) of an ONNX file the model. */
async function loadModel(bytes, name) {
  const description = readDescription(bytes);
  if (!description) {
    throw new Error(`${name} has no description deeplab.json: export it with export_model.py`);
  }
  const session = await ort.InferenceSession.create(bytes);
  network = {session, description};
  const {num_classes: count, size} = description;
  say(`${name}: ${count} classes${size ? `, ${size[1]}x${size[0]} pixels` : ''}. Ready.`);
}

/** The canvas that the model sees, and how much of it is picture: {canvas, width, height}. */
function fitted(bitmap, size) {
  const longest = Number(query.get('max_size')) || 513;
  const [most_height, most_width] = size ?? [longest, longest];
  const scale = Math.min(1, most_height / bitmap.height, most_width / bitmap.width);
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = new OffscreenCanvas(size ? most_width : width, size ? most_height : height);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.fillStyle = GREY;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  return {canvas, width, height};
}

/** Uint8Array [height, width, 3] of what a canvas shows. */
function pixelsOf(canvas) {
  const rgba = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const rgb = new Uint8Array(canvas.width * canvas.height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
}

/** The class of each pixel, Uint16Array [height, width] of the picture that `input` holds. */
async function predict({canvas, width, height}) {
  const image = new ort.Tensor('uint8', pixelsOf(canvas), [1, canvas.height, canvas.width, 3]);
  const outputs = await network.session.run({ImageTensor: image}, ['SemanticPredictions']);
  const all = outputs.SemanticPredictions.data; // Int32Array, or BigInt64Array of other exports.
  const labels = new Uint16Array(width * height);
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      labels[to++] = Number(all[row * canvas.width + column]);
    }
  }
  return labels;
}

/** A canvas with the pixels in the colours of their classes; `clear` is left out, null: none is. */
function colored(labels, width, height, colors, clear = null) {
  const canvas = new OffscreenCanvas(width, height);
  const picture = new ImageData(width, height);
  labels.forEach((label, index) => {
    if (label !== clear) picture.data.set([...colors[label], 255], 4 * index);
  });
  canvas.getContext('2d').putImageData(picture, 0, 0);
  return canvas;
}

function showLegend(labels, {class_names: names, colors}) {
  const counts = new Array(names.length).fill(0);
  labels.forEach((label) => counts[label]++);
  const there = [...counts.keys()].filter((each) => counts[each]);
  there.sort((one, other) => counts[other] - counts[one]);
  element('legend').replaceChildren(...there.map((each) => {
    const row = document.createElement('tr');
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.background = `rgb(${colors[each].join(', ')})`;
    row.insertCell().append(swatch);
    row.insertCell().textContent = names[each];
    row.insertCell().textContent = `${(100 * counts[each] / labels.length).toFixed(1)} %`;
    return row;
  }));
}

/** Draws the picture with its classes over it, as opaque as the slider says. */
function draw() {
  if (!shown) return;
  const canvas = element('picture');
  const context = canvas.getContext('2d');
  canvas.width = shown.picture.width;
  canvas.height = shown.picture.height;
  context.drawImage(shown.picture, 0, 0);
  context.globalAlpha = element('opacity').value / 100;
  context.drawImage(shown.classes, 0, 0);
}

async function segment(file) {
  say(`Reading ${file.name} …`);
  // As it was taken, turned as its tag says; without conversion, the pixels are those of the file.
  const bitmap = await createImageBitmap(file, {
    colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image',
  });
  say(`Segmenting ${file.name} …`);
  const input = fitted(bitmap, network.description.size);
  const {width, height} = input;
  const started = performance.now();
  const labels = await predict(input);
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  const picture = new OffscreenCanvas(width, height);
  picture.getContext('2d').drawImage(input.canvas, 0, 0);
  const {colors, class_names: names} = network.description;
  const background = names[0].toLowerCase() === 'background' ? 0 : null;
  shown = {picture, classes: colored(labels, width, height, colors, background)};
  draw();
  showLegend(labels, network.description);
  const classes = colored(labels, width, height, colors);
  URL.revokeObjectURL(element('save').href);
  element('save').href = URL.createObjectURL(await classes.convertToBlob());
  element('result').hidden = false;
  window.segmentation = {width, height, labels}; // For the console.
  const reduced = width < bitmap.width ? `, reduced from ${bitmap.width}x${bitmap.height}` : '';
  say(`${file.name}: ${width}x${height} pixels${reduced}, ${seconds} s`);
}

let turn = Promise.resolve(); // One after the other.

function take(file) {
  if (!file) return;
  turn = turn.then(async () => {
    if (file.name.toLowerCase().endsWith('.onnx')) {
      await loadModel(await file.arrayBuffer(), file.name);
    } else if (!network) {
      say('There is no model yet: drop an exported .onnx file first.', true);
    } else {
      await segment(file);
    }
  }).catch((error) => say(`${file.name}: ${error.message ?? error}`, true));
}

const drop = element('drop');
addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('over'); });
addEventListener('dragleave', () => drop.classList.remove('over'));
addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  take(event.dataTransfer.files[0]);
});
element('file').addEventListener('change', (event) => take(event.target.files[0]));
element('opacity').addEventListener('input', draw);

const path = query.get('model') ?? 'model.onnx';
turn = fetch(path).then(async (answer) => {
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  await loadModel(await answer.arrayBuffer(), path);
}).catch((error) => {
  say(`No model: ${error.message ?? error}. Put model.onnx beside this page, or drop one.`, true);
});
