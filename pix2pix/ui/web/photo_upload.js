/* Photos on their way into a set of drawings, one after the other. */

export class PhotoUpload {
  /** `into` is {set, kind, palette, frame}: all go there, whichever set is open meanwhile; without
      a name the first begins a set. `upload(file)` gives {path}, `send(request)` the server's reply,
      `came(set, reply)` hears of each and of the set's name before it, and `say` how far it is. */
  constructor(into, { upload, send, came, say }) {
    Object.assign(this, { into, upload, send, came, say, isStopped: false });
  }

  stop() { this.isStopped = true; }

  /** Add files; what cannot be read does not keep the rest. Returns what went wrong. */
  async add(files) {
    const failed = [];
    const started = performance.now();
    for (const [number, file] of files.entries()) {
      if (this.isStopped) break;
      const left = number ? ((performance.now() - started) / number) * (files.length - number) : 0;
      const time = left > 3000 ? `, about ${Math.round(left / 1000)} s left` : "";
      this.say(`Adding photo ${number + 1} of ${files.length}${time}.`);
      const error = await this.addOne(file);
      if (error) failed.push(error);
    }
    return failed;
  }

  async addOne(file) {
    const { set } = this.into;
    let reply;
    try {
      const { path } = await this.upload(file);
      reply = await this.send({ ...this.into, file: path });
    } catch {
      reply = { error: `${file.name} could not be sent: try again.` };
    }
    if (reply.error) return reply.error;
    this.into.set = reply.set;
    await this.came(set, reply);
    return null;
  }
}
