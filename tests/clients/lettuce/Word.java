import io.lettuce.core.protocol.ProtocolKeyword;
import java.nio.charset.StandardCharsets;

/** The name of a command that Lettuce does not know. */
record Word(String text) implements ProtocolKeyword {
    @Override
    public byte[] getBytes() {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    @Override
    public String toString() {
        return text;
    }
}
