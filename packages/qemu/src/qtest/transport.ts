/** What carries commands to QEMU and its answers back, synchronously. */
export interface Transport {
  /** Sends whole lines. @throws QemuError DIED, HUNG, STOPPED */
  send(lines: string): void;
  /** The next line, without its end. Blocks. @throws QemuError DIED, HUNG, STOPPED, naming `command` */
  line(command: string): string;
}
