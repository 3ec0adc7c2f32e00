// SPDX-License-Identifier: GPL-2.0
/*
 * PCI peer-to-peer DMA: definition of the tracepoints
 *
 * All rooms from p2pdma-bridge.c upwards trace, so the definition is below.
 */
#define CREATE_TRACE_POINTS
#include "p2pdma_trace.h"
