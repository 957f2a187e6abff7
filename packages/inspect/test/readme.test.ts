import { runReadme } from '../../../tools/readme-example.js';

runReadme(new URL('../README.md', import.meta.url));
