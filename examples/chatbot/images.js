// Pictures that go with a message: chosen, pasted or dropped, and made small enough.

import { h } from "./dom.js";

const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
// Claude sees no more of a picture than this, and a larger one only costs more bytes.
const MAX_SIDE_PIXELS = 1568;
const MAX_BYTES = 4_000_000;
const MAX_IMAGES = 8;
const JPEG_QUALITY = 0.85;
// What an <img> may show: never a picture of another server, which would tell it who reads.
const SHOWN = /^data:image\/(png|jpeg|webp|gif);base64,[\w+/=]+$/;

/** Pictures of the message that is being written. */
export class Attachments {
  urls = [];
  #node;
  #complain;

  /** Shows them in `node`; `complain` is told why one cannot be taken. */
  constructor(node, complain) {
    this.#node = node;
    this.#complain = complain;
  }

  async add(files) {
    for (const file of files) {
      try {
        if (this.urls.length >= MAX_IMAGES) throw new Error(`a message takes ${MAX_IMAGES} pictures`);
        this.urls.push(await dataUrl(file));
      } catch (error) {
        this.#complain(`${file.name || "The picture"} is left out: ${error.message}.`);
      }
    }
    this.#draw();
  }

  set(urls) {
    this.urls = [...urls];
    this.#draw();
  }

  #draw() {
    const remove = (index) => this.set(this.urls.filter((_, other) => other !== index));
    const shown = this.urls.map((url, index) =>
      h("li", {}, thumbnail(url, index), h("button", { type: "button", "aria-label": `Remove picture ${index + 1}`, click: () => remove(index) }, "×")),
    );
    this.#node.replaceChildren(...shown);
    this.#node.hidden = !shown.length;
  }
}

/** Returns a small picture, or words in place of one that must not be shown. */
export function thumbnail(url, index) {
  if (!SHOWN.test(url)) return h("span", { class: "quiet" }, "[picture]");
  return h("img", { src: url, alt: `Picture ${index + 1}` });
}

/** Returns the pictures among files of a paste or a drop. */
export const picturesOf = (transfer) => [...(transfer?.files ?? [])].filter(({ type }) => type.startsWith("image/"));

async function dataUrl(file) {
  if (!TYPES.includes(file.type)) throw new Error("Claude takes PNG, JPEG, WebP and GIF");
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture) throw new Error("it cannot be read");
  const scale = MAX_SIDE_PIXELS / Math.max(picture.width, picture.height);
  const isSmall = scale >= 1 && file.size <= MAX_BYTES;
  const url = isSmall ? await read(file) : scaled(picture, Math.min(scale, 1), file.type);
  picture.close();
  if (url.length > MAX_BYTES * 1.4) throw new Error("it is too large");
  return url;
}

function scaled(picture, scale, type) {
  const canvas = h("canvas", { width: String(Math.round(picture.width * scale)), height: String(Math.round(picture.height * scale)) });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL(type === "image/png" ? "image/png" : "image/jpeg", JPEG_QUALITY);
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("it cannot be read"));
    reader.readAsDataURL(file);
  });
}
