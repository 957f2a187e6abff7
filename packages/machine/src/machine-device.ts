import type { Device } from '@iommukit/core';
import type { DmaMemory, InterruptLine, Kernel, Mmio, Setting } from '@iommukit/kernel';
import { lineNamed } from './interrupt-lines.js';

/** The {@link Device} that a machine fills from firmware and enumeration. */
export class MachineDevice implements Device {
  readonly name: string;
  readonly kernel: Kernel;
  readonly streams: readonly number[];
  readonly dma: DmaMemory;
  readonly mmio: readonly Mmio[];
  readonly config: Mmio | null;
  readonly lines: ReadonlyMap<string, InterruptLine>;
  readonly properties: Readonly<Record<string, Setting>>;

  constructor(about: {
    name: string;
    kernel: Kernel;
    streams: readonly number[];
    dma: DmaMemory;
    mmio: readonly Mmio[];
    config: Mmio | null;
    lines: ReadonlyMap<string, InterruptLine>;
    properties: Readonly<Record<string, Setting>>;
  }) {
    this.name = about.name;
    this.kernel = about.kernel;
    this.streams = about.streams;
    this.dma = about.dma;
    this.mmio = about.mmio;
    this.config = about.config;
    this.lines = about.lines;
    this.properties = about.properties;
  }

  irq(name: string): InterruptLine {
    return lineNamed(this.lines, this.name, name);
  }

  property(name: string): Setting | null {
    return this.properties[name] ?? null;
  }
}
