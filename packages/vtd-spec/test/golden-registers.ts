/**
 * Every register of the fact sheet: name, offset, width, and its fields as key, bits, and `ro` or `w1c` where software does
 * not simply write them. Written out independently of the declarations. IVA and IOTLB count from ECAP.IRO*16.
 */
export const REGISTER_BITS = `
VER 0x000 32: min 3:0 ro, max 7:4 ro
CAP 0x008 64: nd 2:0 ro, afl 3 ro, rwbf 4 ro, plmr 5 ro, phmr 6 ro, cm 7 ro, sagaw 12:8 ro, mgaw 21:16 ro, zlr 22 ro, isoch 23 ro, fro 33:24 ro, sllps 37:34 ro, psi 39 ro, nfr 47:40 ro, mamv 53:48 ro, dwd 54 ro, drd 55 ro, fl1gp 56 ro, pi 59 ro, fl5lp 60 ro, ecmds 61 ro, esirtps 62 ro, esrtps 63 ro
ECAP 0x010 64: c 0 ro, qi 1 ro, dt 2 ro, ir 3 ro, eim 4 ro, ch 5 ro, pt 6 ro, sc 7 ro, iro 17:8 ro, mhmv 23:20 ro, ecs 24 ro, mts 25 ro, nest 26 ro, dis 27 ro, brokenPasid 28 ro, prs 29 ro, ers 30 ro, srs 31 ro, nwfs 33 ro, eafs 34 ro, pss 39:35 ro, pasid 40 ro, dit 41 ro, pds 42 ro, smts 43 ro, vcs 44 ro, slads 45 ro, slts 46 ro, flts 47 ro, smpwcs 48 ro, rps 49 ro, pms 51 ro, adms 52 ro, rprivs 53 ro, sms 58 ro
GCMD 0x018 32: te 31, srtp 30, sfl 29, eafl 28, wbf 27, qie 26, ire 25, sirtp 24, cfi 23
GSTS 0x01c 32: tes 31 ro, rtps 30 ro, fls 29 ro, afls 28 ro, wbfs 27 ro, qies 26 ro, ires 25 ro, irtps 24 ro, cfis 23 ro
RTADDR 0x020 64: ttm 11:10, rta 63:12
CCMD 0x028 64: did 15:0, sid 31:16, fm 33:32, caig 60:59 ro, cirg 62:61, icc 63
FSTS 0x034 32: pfo 0 w1c, ppf 1 ro, afo 2 w1c, apf 3 w1c, iqe 4 w1c, ice 5 w1c, ite 6 w1c, pro 7 w1c, fri 15:8 ro
FECTL 0x038 32: im 31, ip 30 ro
FEDATA 0x03c 32: data 31:0
FEADDR 0x040 32: addr 31:2
FEUADDR 0x044 32: upper 31:0
AFLOG 0x058 64: fls 11:9, fla 63:12
PMEN 0x064 32: epm 31, prs 0 ro
PLMBASE 0x068 32: value 31:0
PLMLIMIT 0x06c 32: value 31:0
PHMBASE 0x070 64: value 63:0
PHMLIMIT 0x078 64: value 63:0
IQH 0x080 64: qh 18:4 ro
IQT 0x088 64: qt 18:4
IQA 0x090 64: qs 2:0, dw 11, iqa 63:12
ICS 0x09c 32: iwc 0 w1c
IECTL 0x0a0 32: im 31, ip 30 ro
IEDATA 0x0a4 32: data 31:0
IEADDR 0x0a8 32: addr 31:2
IEUADDR 0x0ac 32: upper 31:0
IQERCD 0x0b0 64: iqei 3:0 ro, itesid 47:32 ro, icesid 63:48 ro
IRTA 0x0b8 64: s 3:0, eime 11, irta 63:12
PQH 0x0c0 64: pqh 18:4
PQT 0x0c8 64: pqt 18:4
PQA 0x0d0 64: pqs 2:0, pqa 63:12
PRS 0x0dc 32: ppr 0 w1c, pro 1 w1c
PECTL 0x0e0 32: im 31, ip 30 ro
PEDATA 0x0e4 32: data 31:0
PEADDR 0x0e8 32: addr 31:2
PEUADDR 0x0ec 32: upper 31:0
MTRRCAP 0x100 64: value 63:0 ro
MTRRDEF 0x108 64: type 7:0, fe 10, e 11
MTRR_FIX64K_00000 0x120 64: types 63:0
MTRR_FIX16K_80000 0x128 64: types 63:0
MTRR_FIX16K_A0000 0x130 64: types 63:0
MTRR_FIX4K_C0000 0x138 64: types 63:0
MTRR_FIX4K_C8000 0x140 64: types 63:0
MTRR_FIX4K_D0000 0x148 64: types 63:0
MTRR_FIX4K_D8000 0x150 64: types 63:0
MTRR_FIX4K_E0000 0x158 64: types 63:0
MTRR_FIX4K_E8000 0x160 64: types 63:0
MTRR_FIX4K_F0000 0x168 64: types 63:0
MTRR_FIX4K_F8000 0x170 64: types 63:0
MTRR_PHYSBASE0 0x180 64: value 63:0
MTRR_PHYSMASK0 0x188 64: value 63:0
MTRR_PHYSBASE1 0x190 64: value 63:0
MTRR_PHYSMASK1 0x198 64: value 63:0
MTRR_PHYSBASE2 0x1a0 64: value 63:0
MTRR_PHYSMASK2 0x1a8 64: value 63:0
MTRR_PHYSBASE3 0x1b0 64: value 63:0
MTRR_PHYSMASK3 0x1b8 64: value 63:0
MTRR_PHYSBASE4 0x1c0 64: value 63:0
MTRR_PHYSMASK4 0x1c8 64: value 63:0
MTRR_PHYSBASE5 0x1d0 64: value 63:0
MTRR_PHYSMASK5 0x1d8 64: value 63:0
MTRR_PHYSBASE6 0x1e0 64: value 63:0
MTRR_PHYSMASK6 0x1e8 64: value 63:0
MTRR_PHYSBASE7 0x1f0 64: value 63:0
MTRR_PHYSMASK7 0x1f8 64: value 63:0
MTRR_PHYSBASE8 0x200 64: value 63:0
MTRR_PHYSMASK8 0x208 64: value 63:0
MTRR_PHYSBASE9 0x210 64: value 63:0
MTRR_PHYSMASK9 0x218 64: value 63:0
PERFCAP 0x300 64: counters 15:0 ro, width 22:16 ro, groups 28:24 ro, filters 36:32 ro, interrupt 50 ro, stride 54:52 ro
PERFCFGOFF 0x310 32: value 31:0 ro
PERFOVFOFF 0x318 32: value 31:0 ro
PERFCNTROFF 0x31c 32: value 31:0 ro
PERFINTRSTS 0x324 32: pis 0
PERFINTRCTL 0x328 32: value 31:0
PERFEVNTCAP 0x380 64: events 27:0 ro
ECMD 0x400 64: command 7:0, operandA 63:16
ECEO 0x408 64: operandB 63:0
ECRSP 0x410 64: ip 0 ro
ECCAP0 0x430 64: value 63:0 ro
ECCAP1 0x438 64: value 63:0 ro
ECCAP2 0x440 64: value 63:0 ro
ECCAP3 0x448 64: value 63:0 ro
IVA 0x000 64: am 5:0, ih 6, addr 63:12
IOTLB 0x008 64: did 47:32, dw 48, dr 49, iaig 58:57 ro, iirg 61:60, ivt 63
`;
