# Twelve tokens, four experts with three slots each: the scores, which on the page are the handles, and the slots.
# data: build/live router
load "figures/live.gp"
set yrange [size(3):-10]
scores = "< awk -F '\t' '$1 == \"choice\" && length($2) == 1 { for (e = 0; e < 4; e++) { sub(/^.*: /, \"\", $(5 + e)); print n + 0 \"\t\" e \"\t\" $2 \"\t\" $(5 + e) }; n++ }' " . data
x(token) = 6.9 + 2.5 * token
y(expert) = -7.4 + 1.9 * expert
plot scores using (x($1)):(y($2)):(1.2):(0.9):(tone($2 + 1, 18)) with boxxyerror linecolor rgbcolor variable fillstyle solid 1 noborder, \
    scores using (x($1)):(y($2)):(strcol(4)) with labels noenhanced, \
    scores using (x($1)):($2 > 0 ? NaN : -9.2):3 with labels noenhanced, \
    scores using (5.3):($1 > 0 ? NaN : y($2)):(sprintf("expert %d", $2)) with labels right noenhanced, \
    @shapes
