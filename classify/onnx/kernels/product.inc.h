// The functions of product.h, and the product that those of train.h work with, for one
// instruction set: see level.inc.h.

// PANEL is how many columns of a product are packed together.
enum { PANEL = TILE_VECS * LANES };

// tile is TILE_ROWS rows by vecs times LANES columns of a product: see product. Rows that are not
// there are the last one again; what b has behind its columns is not read unless it is whole.
INLINE TARGET void tile(float *c, size_t c_row, size_t rows, size_t columns, const float *a, size_t a_row, size_t a_column,
                        const float *b, size_t b_row, size_t depth, const float *add, size_t add_row, size_t vecs, bool whole) {
    const float *line[TILE_ROWS];
    for (size_t r = 0; r < TILE_ROWS; r++)
        line[r] = a + (r < rows ? r : rows - 1) * a_row;
    vec low[TILE_ROWS] = {0}, middle[TILE_ROWS] = {0}, high[TILE_ROWS] = {0};
    for (size_t i = 0; i < depth; i++) {
        const float *from = b + i * b_row;
        vec u = load(from, whole ? LANES : columns);
        vec v = vecs > 1 ? load(from + LANES, LANES) : (vec){0}, w = vecs > 2 ? load(from + 2 * LANES, LANES) : (vec){0};
        UNROLL for (size_t r = 0; r < TILE_ROWS; r++) {
            float x = line[r][i * a_column];
            low[r] += u * x;
            if (vecs > 1)
                middle[r] += v * x;
            if (vecs > 2)
                high[r] += w * x;
        }
    }
    if (columns < vecs * LANES) { // apart, as a call within keeps the sums out of registers above
        float part[TILE_ROWS][3 * LANES];
        UNROLL for (size_t r = 0; r < TILE_ROWS; r++) {
            store(part[r], low[r], LANES);
            store(part[r] + LANES, middle[r], LANES);
            store(part[r] + 2 * LANES, high[r], LANES);
        }
        for (size_t r = 0; r < TILE_ROWS && r < rows; r++)
            for (size_t i = 0; i < columns; i++)
                c[r * c_row + i] = part[r][i] + (add ? add[r * add_row + i] : 0);
        return;
    }
    UNROLL for (size_t r = 0; r < TILE_ROWS; r++) {
        if (r >= rows)
            break;
        float *to = c + r * c_row;
        const float *more = add ? add + r * add_row : NULL;
        store(to, more ? low[r] + load(more, LANES) : low[r], LANES);
        if (vecs > 1)
            store(to + LANES, more ? middle[r] + load(more + LANES, LANES) : middle[r], LANES);
        if (vecs > 2)
            store(to + 2 * LANES, more ? high[r] + load(more + 2 * LANES, LANES) : high[r], LANES);
    }
}

// product is c [rows, columns] = a b, or c + a b with add: a number of a [rows, depth] is
// a_row or a_column from the next, a row of b [depth, columns] b_row, with whole LANES if padded.
static TARGET void product(float *c, size_t c_row, size_t rows, size_t columns, const float *a, size_t a_row, size_t a_column,
                           const float *b, size_t b_row, size_t depth, bool padded, bool add) {
    for (size_t n = 0, vecs; n < columns; n += vecs * LANES) {
        size_t left = columns - n, blocks = padded ? (left + LANES - 1) / LANES : left / LANES;
        vecs = blocks < 2 ? 1 : TILE_VECS == 2 || blocks == 2 || blocks == 4 ? 2 : 3;
        for (size_t r = 0; r < rows; r += TILE_ROWS) {
            const float *from = a + r * a_row;
            float *to = c + r * c_row + n, *more = add ? to : NULL;
            if (vecs == 3)
                tile(to, c_row, rows - r, left, from, a_row, a_column, b + n, b_row, depth, more, c_row, 3, true);
            else if (vecs == 2)
                tile(to, c_row, rows - r, left, from, a_row, a_column, b + n, b_row, depth, more, c_row, 2, true);
            else if (blocks)
                tile(to, c_row, rows - r, left, from, a_row, a_column, b + n, b_row, depth, more, c_row, 1, true);
            else
                tile(to, c_row, rows - r, left, from, a_row, a_column, b + n, b_row, depth, more, c_row, 1, false);
        }
    }
}

// copy_rows copies rows of so many columns to rows of padded(columns), with zeros behind.
static TARGET void copy_rows(float *to, const float *from, size_t from_row, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < columns; i += LANES)
            store(to + r * padded(columns) + i, load(from + r * from_row + i, columns - i), LANES);
}

// turn_rows copies rows of so many columns to columns of padded(rows), with zeros behind.
static TARGET void turn_rows(float *to, const float *from, size_t from_row, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r += LANES)
        for (size_t i = 0; i < columns; i += LANES) {
            vec block[LANES] = {0};
            for (size_t j = 0; j < LANES && r + j < rows; j++)
                block[j] = load(from + (r + j) * from_row + i, columns - i);
            transpose(block);
            for (size_t j = 0; j < LANES; j++)
                store(to + (i + j) * padded(rows) + r, block[j], LANES);
        }
}

// merged is LANES numbers of M from column on, in a row of w.
INLINE TARGET vec merged(const struct product *p, size_t row, size_t column, size_t width) {
    size_t left = width - column;
    vec v = load(p->w + row * width + column, left);
    if (p->a)
        for (size_t r = 0; r < p->rank; r++)
            v += load(p->a + r * width + column, left) * (p->scale * p->b[row * p->rank + r]);
    return v * p->alpha;
}

static TARGET void pack(const struct product *p, size_t panel) {
    size_t from = panel * PANEL, count = p->columns - from < PANEL ? p->columns - from : PANEL, wide = padded(count);
    float *to = p->packed + from * p->depth;
    if (p->turned) {
        for (size_t k = 0; k < p->depth; k++)
            for (size_t n = 0; n < count; n += LANES) {
                __builtin_prefetch(p->w + (k + 16 < p->depth ? k + 16 : k) * p->columns + from + n);
                store(to + k * wide + n, merged(p, k, from + n, p->columns), LANES);
            }
        return;
    }
    for (size_t n = 0; n < count; n += LANES)
        for (size_t k = 0; k < p->depth; k += LANES) {
            vec block[LANES] = {0};
            for (size_t j = 0; j < LANES && n + j < count; j++)
                block[j] = merged(p, from + n + j, k, p->depth);
            transpose(block);
            for (size_t j = 0; j < LANES && k + j < p->depth; j++)
                store(to + (k + j) * wide + n, block[j], LANES);
        }
}

static TARGET void multiply(const struct product *p, size_t row, size_t panel, size_t panels) {
    size_t rows = p->rows - row < TASK_ROWS ? p->rows - row : TASK_ROWS, end = (panel + panels) * PANEL < p->columns ? (panel + panels) * PANEL : p->columns;
    size_t steps = (p->depth - 1) / TASK_DEPTH + 1, step = (p->depth + steps - 1) / steps;
    for (size_t k = 0; k < p->depth; k += step) {
        size_t depth = p->depth - k < step ? p->depth - k : step;
        for (size_t from = panel * PANEL; from < end; from += PANEL) {
            size_t left = p->columns - from, wide = left < PANEL ? padded(left) : PANEL;
            const float *packed = p->packed + from * p->depth + k * wide;
            for (size_t r = 0; r < rows; r += TILE_ROWS) {
                float *y = p->y + (row + r) * p->columns + from;
                const float *lines = p->x + (row + r) * p->depth + k, *add = y;
                size_t add_row = p->columns;
                if (k == 0)
                    add = p->add ? p->add + (row + r) * p->add_row + from : NULL, add_row = p->add_row;
                for (size_t j = 0; j < TILE_ROWS && r + j < rows; j++)
                    for (size_t i = 0; i < wide && i < left; i += LANES)
                        __builtin_prefetch(y + j * p->columns + i, 1);
                if (wide == PANEL)
                    tile(y, p->columns, rows - r, left, lines, p->depth, 1, packed, wide, depth, add, add_row, TILE_VECS, true);
                else
                    for (size_t n = 0; n < wide; n += LANES)
                        tile(y + n, p->columns, rows - r, left - n, lines, p->depth, 1, packed + n, wide, depth, add ? add + n : NULL, add_row, 1, true);
            }
        }
    }
}

_Static_assert(GRAD_BLOCK % TILE_ROWS == 0 && GRAD_BLOCK % PANEL == 0, "a square is of whole tiles");

// GRAD_HINTS is how many rows each tile hints at, so that the last has hinted at all.
enum { GRAD_TILES = GRAD_BLOCK / TILE_ROWS * (GRAD_BLOCK / PANEL), GRAD_HINTS = (GRAD_DEPTH + GRAD_TILES - 1) / GRAD_TILES };

static size_t weights_room(void) {
    return 2 * GRAD_DEPTH * GRAD_BLOCK + (GRAD_BLOCK / TILE_ROWS + GRAD_BLOCK / PANEL) * GRAD_APART;
}

// pack_square copies columns of depth rows, times by, for tile: in lines of size numbers, the first of each row,
// and GRAD_APART behind them the next of each. The last lines end with zeros.
INLINE TARGET void pack_square(float *restrict to, const float *restrict from, size_t from_row, size_t depth, size_t columns, size_t size, float by) {
    for (size_t k = 0; k < depth; k++, from += from_row) {
        const float *soon = from + (k + 4 < depth ? 4 * from_row : 0);
        float *line = to + k * size;
        size_t i = 0;
        for (; i + size <= columns; i += size, line += depth * size + GRAD_APART) {
            __builtin_prefetch(soon + i);
            for (size_t j = 0; j < size; j++)
                line[j] = from[i + j] * by;
        }
        if (i < columns)
            for (size_t j = 0; j < size; j++)
                line[j] = i + j < columns ? from[i + j] * by : 0;
    }
}

// hint has columns of a row brought into the second-level cache.
INLINE TARGET void hint(const float *row, size_t columns) {
    for (size_t i = 0; i < columns; i += 64 / sizeof *row)
        __builtin_prefetch(row + i, 0, 2);
}

// weights_grad is a square of dw, or what there is of it. Both factors are packed for tile: of dy
// [rows, TILE_ROWS] for each tile, of x [rows, PANEL] for each panel. Meanwhile the rows that are packed next
// are brought nearer.
static TARGET void weights_grad(const struct weights *p, size_t out, size_t in, float *room) {
    size_t rows = p->out - out < GRAD_BLOCK ? p->out - out : GRAD_BLOCK, columns = p->in - in < GRAD_BLOCK ? p->in - in : GRAD_BLOCK;
    float *dy = room, *x = room + GRAD_DEPTH * GRAD_BLOCK + GRAD_BLOCK / TILE_ROWS * GRAD_APART;
    for (size_t from = 0; from < p->rows; from += GRAD_DEPTH) {
        size_t depth = p->rows - from < GRAD_DEPTH ? p->rows - from : GRAD_DEPTH, next = from + depth;
        pack_square(dy, p->dy + from * p->out + out, p->out, depth, rows, TILE_ROWS, 1);
        pack_square(x, p->x + from * p->in + in, p->in, depth, columns, PANEL, p->alpha);
        for (size_t n = 0; n < columns; n += PANEL)
            for (size_t r = 0; r < rows; r += TILE_ROWS) {
                for (size_t i = 0; i < GRAD_HINTS && next < p->rows && next < from + 2 * GRAD_DEPTH; i++, next++) {
                    hint(p->dy + next * p->out + out, rows);
                    hint(p->x + next * p->in + in, columns);
                }
                const float *dy_lines = dy + r / TILE_ROWS * (depth * TILE_ROWS + GRAD_APART), *x_lines = x + n / PANEL * (depth * PANEL + GRAD_APART);
                float *dw = p->dw + (out + r) * p->in + in + n;
                tile(dw, p->in, rows - r, columns - n, dy_lines, 1, TILE_ROWS, x_lines, PANEL, depth, from ? dw : NULL, p->in, TILE_VECS, true);
            }
    }
}

static size_t adapter_room(const struct adapter *p) {
    return padded(p->rank) * (padded(p->in) + p->out + 2 * TASK_ROWS);
}

static TARGET void adapter_grad(const struct adapter *p, size_t chunk, float *room) {
    size_t in = p->in, out = p->out, rank = p->rank, wide = padded(rank);
    float *a = room, *b = a + padded(in) * wide, *h = b + out * wide, *g = h + TASK_ROWS * wide; // x aᵀ and dy b
    float *da = p->sums + chunk * rank * (in + out), *db = da + rank * in;
    turn_rows(a, p->a, in, rank, in);
    copy_rows(b, p->b, rank, out, rank);
    size_t from = chunk * ADAPTER_CHUNK, to = from + ADAPTER_CHUNK < p->rows ? from + ADAPTER_CHUNK : p->rows;
    for (size_t row = from; row < to; row += TASK_ROWS) {
        size_t count = to - row < TASK_ROWS ? to - row : TASK_ROWS;
        const float *x = p->x + row * in, *dy = p->dy + row * out;
        product(h, wide, count, wide, x, in, 1, a, wide, in, true, false);
        product(g, wide, count, wide, dy, out, 1, b, wide, out, true, false);
        product(da, in, rank, in, g, 1, wide, x, in, count, false, row > from);
        product(db, out, rank, out, h, 1, wide, dy, out, count, false, row > from);
    }
}
